"""What a mesh still lacks, in words; and the commands that are printed once it lacks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from byway.agent.frames import ProcessReport, WorkloadReport
from byway.agent.layout import private_directory
from byway.agent.plan import Plan, PortPlan, WorkloadPlan, plan_from_json, plan_json
from byway.app.announcement import commands, ended
from byway.app.machine import network_name
from byway.app.meshfile import Description, description
from byway.app.readiness import lacks
from byway.app.settings import LocalSettings
from byway.app.state import default_state
from byway.app.tenure import keep_logs, remove_former
from byway.model.names import LABEL_APP

WEB = WorkloadPlan(
    instance="web-1",
    workload="web",
    labels={LABEL_APP: "web"},
    ports=(PortPlan("http", 8080, "http", 8081),),
    command=("web",),
)
GATEWAY = WorkloadPlan(instance="in-1", workload="in", labels={LABEL_APP: "in"}, kind="router", interception="none")
PLAN = Plan(mesh="shop", node="here", workloads=(WEB, GATEWAY))
READY = ProcessReport(phase="ready", pid=1)


def proxy(instance: str, **other: Any) -> dict[str, Any]:
    return {"instance": instance, "namespace": "default", "connected": True, "in_sync": True, **other}


def report(instance: str, application: ProcessReport | None = None, envoy: ProcessReport = READY) -> WorkloadReport:
    return WorkloadReport(
        instance=instance,
        workload=instance[:-2],
        namespace="default",
        identity="",
        proxy_id="",
        envoy=envoy,
        application=application,
    )


def shop() -> Description:
    text = "mesh: shop\nservices:\n  web: {port: 80, command: [web]}\n"
    found = description(text, "byway.yaml").value
    assert found is not None
    return found


def test_nothing_is_lacking_where_all_envoys_are_in_sync_and_all_applications_listen() -> None:
    assert lacks(PLAN, [proxy("web-1"), proxy("in-1")], [report("web-1", READY), report("in-1")]) == ()


def test_at_the_beginning_everything_is() -> None:
    assert [str(lack) for lack in lacks(PLAN, [], [])] == [
        "web-1: Envoy is not started yet",
        "in-1: Envoy is not started yet",
    ]


def test_an_envoy_that_is_not_in_sync_is_the_meshs_own_lack() -> None:
    found = lacks(PLAN, [proxy("web-1", in_sync=False), proxy("in-1")], [report("web-1", READY), report("in-1")])
    assert [str(lack) for lack in found] == ["web-1: Envoy is not in sync"]
    assert not found[0].is_application


@pytest.mark.parametrize(
    ("application", "words", "is_failing"),
    [
        (None, "is not started yet", False),
        (ProcessReport(phase="starting", pid=2), "runs, but does not listen on port 8081 yet", False),
        (
            ProcessReport(phase="backoff", n_restarts=1, last_exit="exited with code 3"),
            "code 3, started again once",
            False,
        ),
        (
            ProcessReport(phase="backoff", n_restarts=9, last_exit="exited with code 3"),
            "code 3, started again 9 times",
            True,
        ),
    ],
)
def test_an_application_is_told_with_its_end(application: ProcessReport, words: str, is_failing: bool) -> None:
    (lack,) = lacks(PLAN, [proxy("web-1"), proxy("in-1")], [report("web-1", application), report("in-1")])
    assert words in lack.reason
    assert lack.is_application
    assert lack.is_failing == is_failing
    assert lack.service == "web"


def test_the_printed_commands_say_where_the_mesh_is_unless_it_is_where_they_look() -> None:
    state = Path("/srv/a state")
    elsewhere = commands(LocalSettings(admin="127.0.0.1:1"), shop(), state, is_default=False)
    assert len(elsewhere) == 5
    assert all("--server http://127.0.0.1:1" in line or " exec " in line for line in elsewhere)
    assert [" --state '/srv/a state'" in line for line in elsewhere] == [False, False, True, True, False]
    usual = commands(LocalSettings(), shop(), default_state("shop"), is_default=True)
    assert not any("--server" in line or "--state" in line for line in usual)


def test_only_a_mesh_that_traces_is_advised_to_look_at_traces() -> None:
    own = commands(LocalSettings(file="byway.yaml"), shop(), default_state("shop"), is_default=True)
    demo = commands(LocalSettings(), shop(), default_state("shop"), is_default=True)
    assert ["traces" in line for line in (own[-1], demo[-1])] == [False, True]


@pytest.mark.parametrize(("exit_code", "how"), [(-9, "was ended by SIGKILL"), (1, "exited with 1")])
def test_a_process_that_is_started_again_is_one_plain_line(
    capsys: pytest.CaptureFixture[str], exit_code: int, how: str
) -> None:
    ended("agent", exit_code, 0.0)
    assert capsys.readouterr().out == f"the agent {how} and is started again at once\n"


def test_the_logs_of_what_failed_outlive_the_mesh(tmp_path: Path) -> None:
    for instance in ("web-1", "well-1"):
        private_directory(tmp_path / "run" / instance)
        (tmp_path / "run" / instance / "app.log").write_text("no such table: links\n")
    assert keep_logs(tmp_path, ["web-1", "never-started-1"])
    remove_former(tmp_path)
    assert not (tmp_path / "run").exists()
    kept = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.log")]
    assert kept == ["logs/web-1/app.log"]
    assert not keep_logs(tmp_path, ["never-started-1"])


def test_two_states_give_two_networks_of_one_mesh(tmp_path: Path) -> None:
    assert network_name("shop", default_state("shop")) == "shop"
    names = {network_name("shop", tmp_path / name) for name in ("a", "b")}
    assert len(names) == 2
    for name in names:
        assert name.startswith("shop-")
        named = Plan(mesh="shop", node="here", network=type(PLAN.network)(name=name))
        assert plan_from_json(plan_json(named)).network_name == name
    assert PLAN.network_name == "shop"


def test_a_grpc_client_lacks_nothing_but_its_application() -> None:
    """It has no Envoy, and a channel only while it calls somebody."""
    client = msgspec.structs.replace(WEB, instance="client-1", kind="grpc")
    plan = Plan(mesh="shop", node="here", workloads=(client,))
    ready = msgspec.structs.replace(report("client-1", READY), envoy=None)
    assert lacks(plan, [proxy("client-1", connected=False)], [ready]) == ()
    (lack,) = lacks(plan, [], [])
    assert str(lack) == "client-1: application is not started yet"
