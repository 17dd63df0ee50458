"""The command line as such: exit codes, error lines, and what stays out of a start."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from byway.admin.port import CertificateStatus, ProxyStatus, StoreReport
from byway.agent.plan import plan_from_json
from byway.app.listening import holder, is_free
from byway.app.state import admin_of, keep_admin
from byway.base.errors import UsageError
from byway.cli.checkup import Check, checkup_text
from byway.cli.mesh_health import certificate_checks, proxy_checks, store_checks
from byway.cli.output import table
from byway.cli.progress import Progress
from byway.cli.state import running_state
from byway.cli.status import store_lines
from byway.cli.values import address, number_within, seconds
from byway.cli.verbs import VERBS
from byway.cli.wording import WrongUsageError, milliseconds, percent
from byway.cli.workload import planned
from byway.kinds.text import documents
from tests.unit.cli.conftest import Byway, block
from tests.unit.cli.recorded import RecordedControlPlane

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_the_root_help_names_every_verb(byway: Byway) -> None:
    for words in ((), ("--help",), ("help",)):
        run = byway(*words)
        assert (run.code, run.err) == (0, "")
        assert all(f"  {verb.name} " in run.out for verb in VERBS)


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_explains_itself(byway: Byway, verb: str) -> None:
    run = byway(verb, "--help")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith(f"Usage: byway {verb}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("statsu",), "byway: there is no verb `statsu` (did you mean `status`?)"),
        (("xyzzy",), "byway: there is no verb `xyzzy` (see: byway --help)"),
        (("status", "--nope"), "byway: status: unknown option: --nope (see: byway status --help)"),
        (("apply",), "byway: apply: name at least one file or folder with -f"),
        (("exec", "web"), "byway: exec: say what to run: byway exec WORKLOAD -- CMD…"),
        (
            ("demo", "--for", "soon"),
            "byway: --for must be a number of seconds, or a duration such as 90s or 24h, not `soon`",
        ),
        (("demo", "--rate", "-1"), "byway: --rate must be from 0 to 10000, not -1"),
        (("status", "--server", "::"), "byway: --server must be a URL such as http://127.0.0.1:15014, not `::`"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(byway: Byway, words: tuple[str, ...], line: str) -> None:
    run = byway(*words)
    assert (run.code, run.out, run.err) == (2, "", line + "\n")


def test_an_absent_control_plane_is_a_failure_that_says_what_to_start(byway: Byway) -> None:
    run = byway("status", "--server", "http://127.0.0.1:9")
    mend = "start one with `byway demo` or `byway up`, or say where with --server or --state"
    assert (run.code, run.err) == (1, f"byway: no control plane answers at http://127.0.0.1:9 ({mend})\n")


def test_something_else_on_the_port_is_recognised(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/status"] = (200, b"<html>nginx</html>")
    run = byway("status", "--server", control_plane.url)
    assert (run.code, run.err) == (
        1,
        f"byway: what answers at {control_plane.url} is not Byway's control plane (HTTP 200)\n",
    )


def test_an_answer_of_another_shape_points_to_the_versions(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/status"] = (200, {"proxies": [{"instance": 7}]})
    run = byway("status", "--server", control_plane.url)
    assert run.code == 1
    assert "is not understood" in run.err
    assert "`byway version`" in run.err


def test_a_failing_control_plane_is_quoted(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/graph"] = (503, {"error": "the store is locked"})
    run = byway("graph", "--server", control_plane.url)
    assert (run.code, run.err) == (1, "byway: the store is locked\n")


def test_a_mistake_of_byways_own_is_one_line_and_a_file_with_the_traceback(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    """A time that is none, which no control plane of this version sends."""
    row = {
        "instance": "a",
        "workload": "a",
        "namespace": "default",
        "identity": "",
        "certificate_not_after": "yesterday",
    }
    control_plane.answers["/api/status"] = (200, {"proxies": [row]})
    run = byway("status", "--server", control_plane.url)
    assert run.code == 1
    assert run.err.startswith("byway: stopped by a mistake of its own: ValueError: ")
    assert len(run.err.splitlines()) == 1
    report = Path(run.err.rpartition("report it with ")[2].rstrip(")\n"))
    assert "Traceback" in report.read_text()
    report.unlink()


def test_a_reader_that_goes_away_is_no_error() -> None:
    """The pipe is closed before `byway` can write to it, whoever is faster."""
    line = [sys.executable, "-m", "byway.cli.main", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_exec_without_a_mesh_says_so(byway: Byway, tmp_path: Path) -> None:
    run = byway("exec", "web", "--state", str(tmp_path / "none"), "--", "curl", "-s", "http://auth")
    assert run.code == 1
    assert "there is no state directory" in run.err


def test_exec_of_an_unknown_workload_names_the_known_ones(byway: Byway, tmp_path: Path) -> None:
    plan = (
        '{"mesh": "demo", "node": "n", "workloads": [{"instance": "web-1", "workload": "web", "interception": "none"}]}'
    )
    (tmp_path / "plan.json").write_text(plan)
    run = byway("exec", "nobody", "--state", str(tmp_path), "--", "true")
    assert (run.code, run.err) == (1, "byway: no workload 'nobody' runs here (known: web-1)\n")


def plan_of(*instances: tuple[str, str, str]) -> str:
    """An agent's plan with these workloads, each as instance, workload and service."""
    workloads = [
        {"instance": i, "workload": w, "labels": {"app": app}, "interception": "explicit"} for i, w, app in instances
    ]
    return json.dumps({"mesh": "shop", "node": "n", "workloads": workloads})


def test_a_workload_is_found_by_every_name_that_other_verbs_show() -> None:
    plan = plan_from_json(plan_of(("link-v1-1", "link-v1", "link"), ("link-v1-2", "link-v1", "link")).encode())
    names = ("link-v1-2", "link-v1-2.default", "link-v1", "link-v1.default", "link", "link.default")
    assert [planned(plan, name).instance[-1] for name in names] == ["2", "2", "1", "1", "1", "1"]


def test_an_unknown_workload_is_answered_with_how_many_more_there_are() -> None:
    plan = plan_from_json(plan_of(*[(f"web-{n}", "web", "web") for n in range(11)]).encode())
    with pytest.raises(UsageError, match="web-7 and 3 more, see `byway status`"):
        planned(plan, "nobody")


@pytest.mark.parametrize("is_left", [False, True], ids=["no socket", "a socket that nobody listens on"])
def test_exec_into_a_mesh_that_is_down_runs_nothing(byway: Byway, tmp_path: Path, *, is_left: bool) -> None:
    (tmp_path / "plan.json").write_text(plan_of(("web-1", "web", "web")))
    if is_left:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "agent.sock"))
    run = byway("exec", "web", "--state", str(tmp_path), "--", "touch", str(tmp_path / "ran"))
    start = f"`byway up --state {tmp_path}`"
    assert (run.code, run.err) == (1, f"byway: the mesh shop is not running (start it with {start})\n")
    assert not (tmp_path / "ran").exists()


def test_the_bootstrap_of_a_grpc_client_is_printed_or_written(byway: Byway, tmp_path: Path) -> None:
    web = '{"instance": "web-1", "workload": "web", "kind": "KIND", "interception": "explicit"}'
    plan = f'{{"mesh": "m", "node": "n", "workloads": [{web}]}}'
    (tmp_path / "plan.json").write_text(plan.replace("KIND", "grpc"))
    run = byway("grpc-bootstrap", "web", "--state", str(tmp_path))
    assert run.code == 0
    assert json.loads(run.out)["node"]["id"] == "grpc~127.0.0.1~web-1.default~default.svc.cluster.local"
    assert byway("grpc-bootstrap", "web", "-o", str(tmp_path / "b.json"), "--state", str(tmp_path)).out == ""
    assert (tmp_path / "b.json").read_text() == run.out
    (tmp_path / "plan.json").write_text(plan.replace("KIND", "sidecar"))
    refused = byway("grpc-bootstrap", "web", "--state", str(tmp_path))
    assert (refused.code, refused.out) == (1, "")
    assert "proxy: grpc" in refused.err


def test_a_named_state_must_exist(tmp_path: Path) -> None:
    assert running_state(str(tmp_path)) == tmp_path
    with pytest.raises(UsageError, match="there is no state directory"):
        running_state(str(tmp_path / "none"))


def test_addresses_and_times_are_checked_before_anything_starts() -> None:
    assert address("--admin", "15014") == "127.0.0.1:15014"
    assert address("--admin", "[::1]:15014") == "[::1]:15014"
    assert (seconds("--for", "90"), seconds("--for", "1.5m"), seconds("--for", "0.5")) == (90.0, 90.0, 0.5)
    assert number_within("--rate", 0, 0, 10) == 0
    for wrong in ("", "host:", "host:0", "host:70000", "host:http"):
        with pytest.raises(WrongUsageError):
            address("--admin", wrong)
    for wrong in ("", "0", "-1", "soon", "."):
        with pytest.raises(WrongUsageError):
            seconds("--for", wrong)
    with pytest.raises(WrongUsageError):
        number_within("--rate", float("nan"), 0, 10)


def test_times_and_shares_are_told_in_the_unit_that_fits() -> None:
    assert [milliseconds(s) for s in (0.0004, 0.0382, 0.9994, 1.25)] == ["0.4 ms", "38 ms", "999 ms", "1.25 s"]
    assert [percent(s) for s in (1, 0.05, 0.0125, 0)] == ["100 %", "5 %", "1.25 %", "0 %"]


def test_a_table_has_no_blanks_at_the_end_of_its_lines() -> None:
    assert table(("A", "LONG"), [("wide cell", "x"), ("y", "")]) == "A           LONG\nwide cell   x\ny"


class Terminal(io.StringIO):
    """A terminal that tells when something has been written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_text = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        n = super().write(text)
        self.has_text.set()
        return n


def test_progress_appears_on_a_terminal_and_is_wiped_away() -> None:
    terminal = Terminal()
    with Progress("waiting", terminal, patience_s=0.001):
        assert terminal.has_text.wait(timeout=10)
    assert terminal.getvalue().startswith("\r\x1b[Kwaiting … ")
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_silent_where_nobody_looks() -> None:
    stream = io.StringIO()
    with Progress("waiting", stream, patience_s=0.001):
        pass
    assert stream.getvalue() == ""


def test_a_checkup_shows_how_to_mend_what_is_wrong() -> None:
    checks = [
        Check(group="installation", verdict="ok", finding="running as root"),
        Check(group="mesh", verdict="warning", finding="no mesh to look at", mend="start one"),
        Check(group="mesh", verdict="failed", finding="expired: web-1", mend="is its agent running?"),
    ]
    assert checkup_text(checks) + "\n" == block("""
        installation
        ------------
        √ running as root

        mesh
        ----
        ‼ no mesh to look at
            start one
        × expired: web-1
            is its agent running?

        × 1 of 3 checks failed
    """)


@pytest.mark.parametrize(
    ("days", "verdict"), [(31, "ok"), (30, "warning"), (14, "warning"), (7, "failed"), (-1, "failed")]
)
def test_the_end_of_a_root_is_told_at_30_14_and_7_days(days: int, verdict: str) -> None:
    root = CertificateStatus(kind="root", identity="", not_after=(NOW + timedelta(days=days)).isoformat())
    assert [check.verdict for check in certificate_checks([root], NOW)] == [verdict]


def test_only_workloads_certificates_are_counted() -> None:
    """Not the control plane's own, nor the agents'."""
    end = (NOW + timedelta(days=1)).isoformat()
    own = CertificateStatus(kind="leaf", identity="spiffe://cluster.local/ns/byway-system/sa/byway", not_after=end)
    assert list(certificate_checks([own], NOW)) == []
    web = CertificateStatus(kind="leaf", identity="", instance="web-1", not_after=end)
    assert [c.finding for c in certificate_checks([own, web], NOW)] == ["1 workload certificate valid"]


def test_a_store_that_is_away_is_a_failure() -> None:
    away = StoreReport(is_up=False, away_since="2026-01-01T00:00:00Z")
    assert list(store_checks(StoreReport())) == []
    assert [(c.verdict, "since 2026-01-01T00:00:00Z" in c.finding) for c in store_checks(away)] == [("failed", True)]
    assert store_lines(StoreReport()) == []
    assert "away since 2026-01-01T00:00:00Z" in store_lines(away)[-1]


def test_proxies_that_are_away_or_stale_are_named() -> None:
    def status(instance: str, *, connected: bool, in_sync: bool) -> ProxyStatus:
        return ProxyStatus(
            instance=instance, workload="w", namespace="default", identity="", connected=connected, in_sync=in_sync
        )

    good = status("a", connected=True, in_sync=True)
    assert [c.finding for c in proxy_checks([good])] == ["1 proxy connected and in sync"]
    away, stale = status("b", connected=False, in_sync=False), status("c", connected=True, in_sync=False)
    assert [c.finding for c in proxy_checks([good, away, stale])] == ["not connected: b", "not in sync: c"]


def test_a_port_that_is_taken_is_traced_to_its_process(control_plane: RecordedControlPlane) -> None:
    port = int(control_plane.url.rpartition(":")[2])
    assert not is_free("127.0.0.1", port)
    assert "(pid " in holder(port)


def test_the_state_directory_says_where_its_mesh_is(
    byway: Byway, control_plane: RecordedControlPlane, tmp_path: Path
) -> None:
    """--server is stronger."""
    control_plane.answers["/api/resources/vs"] = (200, {"items": []})
    keep_admin(tmp_path, control_plane.url.removeprefix("http://"))
    assert byway("get", "vs", "--state", str(tmp_path)).code == 0
    run = byway("get", "vs", "--state", str(tmp_path), "--server", "http://127.0.0.1:9")
    assert (run.code, "at http://127.0.0.1:9" in run.err) == (1, True)


@pytest.mark.parametrize("address", ["0.0.0.0:7", ":7", "127.0.0.1:7"])
def test_an_address_of_the_whole_machine_is_called_by_loopback(tmp_path: Path, address: str) -> None:
    keep_admin(tmp_path, address)
    assert admin_of(tmp_path) == "127.0.0.1:7"


def test_what_is_got_as_yaml_can_be_put_together_and_applied(byway: Byway, control_plane: RecordedControlPlane) -> None:
    for kind in ("VirtualService", "DestinationRule"):
        control_plane.answers[f"/api/resources/{kind}"] = (200, {"items": [{"kind": kind}, {"kind": kind}]})
    got = [
        byway("get", k, "-o", "yaml", "--server", control_plane.url).out for k in ("VirtualService", "DestinationRule")
    ]
    assert [document.body["kind"] for document in documents("".join(got), "f").value] == (
        ["VirtualService"] * 2 + ["DestinationRule"] * 2
    )
