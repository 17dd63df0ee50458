"""`apply`, `delete` and `analyze`: what is sent, what is told, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byway.base.errors import UsageError
from byway.cli.control_plane import ControlPlane
from tests.unit.cli.conftest import Byway, block
from tests.unit.cli.recorded import RecordedControlPlane

CREATED = {"kind": "VirtualService", "namespace": "default", "name": "link-service", "action": "created"}
CONFIGURED = {"kind": "Service", "namespace": "default", "name": "web", "action": "configured"}


def rollout(n_connected: int, n_affected: int, n_acked: int, seconds: float, **more: Any) -> dict[str, Any]:
    counts = {"n_connected": n_connected, "n_affected": n_affected, "n_acked": n_acked}
    return counts | {"seconds": seconds, "n_resources_sent": n_affected, "refusals": []} | more


def at(line: int, column: int) -> dict[str, Any]:
    return {"file": "canary.yaml", "line": line, "column": column}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a token."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "token").write_text("s3cret\n")
    return tmp_path / "state"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    file = tmp_path / "canary.yaml"
    file.write_text("kind: VirtualService\n")
    return file


def test_apply_names_each_object_and_how_far_the_change_came(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (
        200,
        {"changes": [CREATED, CONFIGURED], "rollout": rollout(20, 20, 20, 0.038)},
    )
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.err) == (0, "")
    assert run.out == block("""
        virtualservice.networking.istio.io/link-service created
        service/web configured
        20/20 proxies in 38 ms
    """)


def test_apply_sends_the_texts_the_namespace_and_the_token(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (200, {})
    byway("apply", "-f", str(canary), "-n", "shop", "--server", control_plane.url, "--state", str(state))
    assert control_plane.written.headers["authorization"] == "Bearer s3cret"
    assert control_plane.written.body == {
        "sources": [{"file": str(canary), "text": "kind: VirtualService\n"}],
        "namespace": "shop",
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (rollout(21, 3, 3, 0.012), "3/3 proxies in 12 ms (18 do not use it)"),
        (rollout(4, 3, 3, 0.0004), "3/3 proxies in 0.4 ms (1 does not use it)"),
        (rollout(21, 0, 0, 0.0), "stored; none of 21 proxies uses it"),
        (rollout(0, 0, 0, 0.0), "stored; no proxy is connected yet"),
        (
            {**rollout(0, 0, 0, 0.0), "may_be_elsewhere": True},
            "stored; no proxy is at this control plane, those at others take it from the store",
        ),
    ],
)
def test_the_last_line_tells_proxies_that_use_the_change_from_those_that_do_not(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path, counts: dict[str, Any], line: str
) -> None:
    control_plane.answers["/api/apply"] = (200, {"changes": [CREATED], "rollout": counts})
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.out.splitlines()[-1]) == (0, line)


def test_a_deletion_without_effect_is_told_as_one(
    byway: Byway, control_plane: RecordedControlPlane, state: Path
) -> None:
    answer = {"changes": [{**CREATED, "action": "deleted"}], "rollout": rollout(21, 0, 0, 0.0)}
    control_plane.answers["/api/delete"] = (200, answer)
    run = byway("delete", "vs", "canary", "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.out.splitlines()[-1]) == (0, "deleted; none of 21 proxies used it")


def test_a_proxy_that_does_not_answer_makes_apply_fail(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (200, {"changes": [CREATED], "rollout": rollout(20, 20, 18, 5.0)})
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert run.code == 1
    assert run.out.splitlines()[-1] == "18/20 proxies in 5.00 s; 2 have not answered (see: byway status)"


def test_a_refusal_by_envoy_is_told_in_envoys_words(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    refusal = {"instance": "web-1", "namespace": "default", "type_url": "…Cluster", "message": "Invalid duration"}
    counts = rollout(20, 20, 19, 0.04, refusals=[refusal])
    control_plane.answers["/api/apply"] = (200, {"changes": [CREATED], "rollout": counts})
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.err) == (1, "byway: Envoy of web-1.default refuses it: Invalid duration\n")


@pytest.mark.parametrize("status", [200, 400, 422])
def test_a_mistake_is_told_at_its_line_with_the_next_step_whatever_the_status(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path, status: int
) -> None:
    error = {
        "severity": "error", "code": "missing-field", "message": "spec.hosts is missing", "position": at(6, 3),
        "hint": "add hosts: [link-service]", "subject": "VirtualService default/link-service",
    }  # fmt: skip
    warning = {"severity": "warning", "code": "unknown-port", "message": "no port 1", "subject": "Service default/web"}
    control_plane.answers["/api/apply"] = (status, {"diagnostics": [error, warning]})
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.out) == (1, "nothing changed\n")
    assert run.err == block("""
        canary.yaml:6:3: spec.hosts is missing (add hosts: [link-service]) [missing-field]
        Service default/web: warning: no port 1 [unknown-port]
    """)


def test_nothing_is_sent_when_one_file_cannot_be_read(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    run = byway("apply", "-f", str(canary), "missing.yaml", "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.err) == (1, "missing.yaml: no such file\n")
    assert control_plane.asked == []


def test_a_folder_gives_its_resource_files_in_order_and_each_once(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "resources"
    (folder / "below").mkdir(parents=True)
    for name in ("b.yaml", "a.yml", "c.json", "notes.txt", "below/d.yaml"):
        (folder / name).write_text(f"# {name}\n")
    control_plane.answers["/api/apply"] = (200, {})
    byway(
        "apply", "-f", str(folder), "-f", str(folder / "b.yaml"), "--server", control_plane.url, "--state", str(state)
    )
    assert [d["text"] for d in control_plane.written.body["sources"]] == ["# a.yml\n", "# b.yaml\n", "# c.json\n"]


def test_bytes_that_are_no_text_are_told_at_their_place(byway: Byway, tmp_path: Path) -> None:
    file = tmp_path / "binary.yaml"
    file.write_bytes(b"kind: x\nname: \xff\n")
    run = byway("apply", "-f", str(file))
    assert run.err == f"{file}:2:7: not UTF-8 text (is it a resource file?)\n"


def test_a_dash_reads_the_standard_input(control_plane: RecordedControlPlane, state: Path) -> None:
    control_plane.answers["/api/apply"] = (200, {})
    line = [
        sys.executable,
        "-m",
        "byway.cli.main",
        "apply",
        "-f",
        "-",
        "--server",
        control_plane.url,
        "--state",
        str(state),
    ]
    subprocess.run(line, input=b"kind: x\n", check=True, timeout=60)
    assert control_plane.written.body["sources"] == [{"file": "<stdin>", "text": "kind: x\n"}]


def test_a_dry_run_says_so_and_asks_for_no_rollout(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (200, {"changes": [CREATED], "rollout": None})
    run = byway("apply", "--dry-run", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert run.out == "virtualservice.networking.istio.io/link-service created (dry run)\n"
    assert control_plane.written.body["dry_run"] is True


def test_json_output_is_the_control_planes_own_answer(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    answer = {"changes": [CREATED], "diagnostics": [], "rollout": rollout(20, 20, 20, 0.038)}
    control_plane.answers["/api/apply"] = (200, answer)
    run = byway("apply", "-o", "json", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert json.loads(run.out) == answer


def test_delete_by_kind_and_name_sends_just_these(
    byway: Byway, control_plane: RecordedControlPlane, state: Path
) -> None:
    gone = CREATED | {"action": "deleted"}
    control_plane.answers["/api/delete"] = (200, {"changes": [gone], "rollout": rollout(20, 2, 2, 0.009)})
    run = byway("delete", "vs", "link-service", "--server", control_plane.url, "--state", str(state))
    assert run.out == block("""
        virtualservice.networking.istio.io/link-service deleted
        2/2 proxies in 9.0 ms (18 do not use it)
    """)
    targets = [{"kind": "vs", "name": "link-service"}]
    assert control_plane.written.body == {"namespace": "default", "dry_run": False, "targets": targets}


def test_delete_by_file_sends_its_documents(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/delete"] = (200, {"changes": []})
    byway("delete", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert control_plane.written.body["sources"] == [{"file": str(canary), "text": "kind: VirtualService\n"}]


@pytest.mark.parametrize("words", [("vs",), (), ("vs", "web", "-f", "x.yaml")])
def test_delete_wants_either_files_or_one_name(byway: Byway, words: tuple[str, ...]) -> None:
    run = byway("delete", *words)
    assert run.code == 2
    assert "delete: name what to delete with -f FILE…, or with KIND NAME" in run.err


def test_deleting_what_is_not_there_fails_with_the_control_planes_words(
    byway: Byway, control_plane: RecordedControlPlane, state: Path
) -> None:
    control_plane.answers["/api/delete"] = (404, {"error": "there is no VirtualService default/nobody"})
    run = byway("delete", "vs", "nobody", "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.err) == (1, "byway: there is no VirtualService default/nobody\n")


def test_analyze_counts_what_it_found_and_fails_only_on_errors(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    warning = {
        "severity": "warning", "code": "unknown-subset", "message": "no subset canary", "position": at(9, 5),
        "hint": "", "subject": "",
    }  # fmt: skip
    control_plane.answers["/api/apply"] = (200, {"diagnostics": [warning]})
    run = byway("analyze", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert (run.code, run.err) == (0, "")
    assert run.out == block("""
        canary.yaml:9:5: warning: no subset canary [unknown-subset]
        0 errors, 1 warning in 1 file
    """)
    assert control_plane.written.body["dry_run"] is True


def test_a_write_without_the_right_token_says_where_to_get_it(
    byway: Byway, control_plane: RecordedControlPlane, tmp_path: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (401, {"error": "the token is missing or wrong"})
    run = byway("apply", "-f", str(canary), "--server", control_plane.url, "--state", str(tmp_path))
    advice = "(give the mesh's state with --state, or its token in BYWAY_TOKEN)"
    assert (run.code, run.err) == (1, f"byway: the token is missing or wrong {advice}\n")
    assert "authorization" not in control_plane.written.headers


def test_a_token_in_the_environment_goes_before_any_file(
    control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    control_plane.answers["/api/apply"] = (200, {})
    line = [sys.executable, "-m", "byway.cli.main", "apply", "-f", str(canary), "--server", control_plane.url]
    environment = {"BYWAY_TOKEN": "from-the-environment", "BYWAY_STATE": str(state)}
    subprocess.run(line, env=environment, check=True, timeout=60)
    assert control_plane.written.headers["authorization"] == "Bearer from-the-environment"


def test_a_control_plane_that_guards_its_reads_gets_the_token_on_the_second_try(
    control_plane: RecordedControlPlane, state: Path
) -> None:
    control_plane.answers["/api/status"] = (401, {"error": "this needs a token"})
    client = ControlPlane(control_plane.url, str(state))
    with pytest.raises(UsageError, match="this needs a token"):
        client.answer("/api/status")
    assert [asked.headers.get("authorization") for asked in control_plane.asked] == [None, "Bearer s3cret"]


def test_an_apply_that_keeps_going_tells_what_was_left_out_and_fails(
    byway: Byway, control_plane: RecordedControlPlane, state: Path, canary: Path
) -> None:
    """The rest is on its way, so what became of each object is told as ever."""
    refused = {"severity": "error", "code": "refused-by-envoy", "message": "Envoy refuses it", "position": at(7, 3)}
    control_plane.answers["/api/apply"] = (
        200,
        {
            "changes": [CREATED, {**CONFIGURED, "action": "left out"}],
            "diagnostics": [refused],
            "rollout": rollout(20, 20, 20, 0.038),
            "is_partial": True,
        },
    )
    run = byway("apply", "--keep-going", "-f", str(canary), "--server", control_plane.url, "--state", str(state))
    assert control_plane.written.body["keep_going"] is True
    assert (run.code, run.err) == (1, "canary.yaml:7:3: Envoy refuses it [refused-by-envoy]\n")
    assert run.out == block("""
        virtualservice.networking.istio.io/link-service created
        20/20 proxies in 38 ms
        left out, not stored: Service default/web
        1 object of 2 left out
    """)


QUARANTINED = {
    "severity": "error",
    "code": "quarantined",
    "message": "in quarantine, nothing of it is in force: Envoy refuses it",
    "position": at(7, 3),
    "hint": "apply a version that can be taken, or delete it",
    "subject": "VirtualService default/link-service",
}


def test_analyze_without_files_tells_what_is_wrong_with_the_mesh(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    control_plane.answers["/api/analysis"] = (200, {"diagnostics": [QUARANTINED]})
    run = byway("analyze", "--server", control_plane.url)
    assert (run.code, run.err) == (1, "")
    assert run.out.splitlines() == [
        "canary.yaml:7:3: in quarantine, nothing of it is in force: Envoy refuses it (apply a version that can be taken, or "
        "delete it) [quarantined]",
        "1 error, 0 warnings in the mesh",
    ]
    elsewhere = byway("analyze", "-n", "shop", "--server", control_plane.url)
    assert (elsewhere.code, elsewhere.out) == (0, "nothing wrong in the mesh\n")


def test_status_ends_with_the_objects_in_trouble(byway: Byway, control_plane: RecordedControlPlane) -> None:
    trouble = {
        "kind": "VirtualService",
        "namespace": "default",
        "name": "link-service",
        "state": "quarantined",
        "in_force": "nothing of it is in force",
        "diagnostic": QUARANTINED,
    }
    control_plane.answers["/api/status"] = (200, {"proxies": [], "troubles": [trouble]})
    lines = byway("status", "--server", control_plane.url).out.splitlines()
    assert lines[0] == "no proxy has joined the mesh yet"
    assert lines[2] == "1 object in trouble:"
    assert lines[3].startswith("VirtualService default/link-service: canary.yaml:7:3: in quarantine")


def test_status_names_an_object_without_a_place_once(byway: Byway, control_plane: RecordedControlPlane) -> None:
    """Of a damaged row in a store there is no file to point at."""
    subject = "VirtualService default/lost"
    diagnostic = {"severity": "error", "code": "quarantined", "message": "in quarantine", "subject": subject}
    trouble = {"kind": "VirtualService", "namespace": "default", "name": "lost", "state": "quarantined"}
    trouble |= {"in_force": "nothing of it is in force"}
    control_plane.answers["/api/status"] = (200, {"proxies": [], "troubles": [{**trouble, "diagnostic": diagnostic}]})
    assert byway("status", "--server", control_plane.url).out.count(subject) == 1
