"""Plans: read, checked, and told what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from byway.agent.plan import (
    NetworkPlan,
    Plan,
    PortPlan,
    WorkloadPlan,
    plan_from_json,
    plan_json,
    plan_mistake,
    read_plan,
)
from byway.base.errors import UsageError

WEB = WorkloadPlan(instance="web-1", workload="web", address="10.77.0.2", ports=(PortPlan("http", 80, "http", 8080),))
PLAN = Plan(mesh="demo", node="here", network=NetworkPlan("10.77.0.0/16"), workloads=(WEB,))


def changed(**fields: object) -> Plan:
    return msgspec.structs.replace(PLAN, workloads=(WEB, msgspec.structs.replace(WEB, instance="web-2", **fields)))


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    """Written and read, it is the same."""
    (tmp_path / "plan.json").write_bytes(plan_json(PLAN))
    assert read_plan(tmp_path / "plan.json") == PLAN
    assert b'"appPort": 8080' in plan_json(PLAN)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (changed(address="10.77.0.2"), "is taken"),
        (changed(address="10.77.0.1"), "is taken"),
        (changed(address="10.78.0.2"), "not in the mesh's network"),
        (changed(address="fd00::1"), "IPv4"),
        (msgspec.structs.replace(PLAN, workloads=(WEB, WEB)), "listed twice"),
        (msgspec.structs.replace(PLAN, mesh="../etc"), "mesh name"),
        (msgspec.structs.replace(PLAN, workloads=(msgspec.structs.replace(WEB, instance="../x"),)), "instance name"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(plan: Plan, reason: str) -> None:
    """Names that are paths, addresses that clash."""
    assert reason in plan_mistake(plan)
    with pytest.raises(UsageError, match=reason):
        plan_from_json(plan_json(plan))


def test_addresses_matter_only_where_there_is_a_network() -> None:
    """Explicit workloads all live at 127.0.0.1."""
    explicit = msgspec.structs.replace(WEB, interception="explicit", address="127.0.0.1")
    plan = Plan(mesh="demo", node="here", workloads=(explicit, msgspec.structs.replace(explicit, instance="b")))
    assert plan_mistake(plan) == ""


def test_a_plan_that_is_no_json_is_refused_with_the_next_step() -> None:
    """As a user's error, not a traceback."""
    with pytest.raises(UsageError, match="byway up"):
        plan_from_json(b"{")


def test_a_workload_is_found_by_instance_or_by_workload() -> None:
    """An unknown name is answered with the known ones."""
    assert PLAN.workload("web-1") is PLAN.workload("web")
    with pytest.raises(UsageError, match="web-1"):
        PLAN.workload("nobody")


def test_the_proxy_names_itself_as_istio_does() -> None:
    """Kind, address, instance and domain."""
    assert WEB.proxy_id == "sidecar~10.77.0.2~web-1.default~default.svc.cluster.local"
    assert WEB.proxy_cluster == "web.default"
