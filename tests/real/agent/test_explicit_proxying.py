"""Without namespaces: the application is told where its Envoy is, and a gateway is an Envoy without an application."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
import uuid
from typing import Any

import pytest

from byway.agent.plan import ExplicitPlan, Plan, PortPlan, WorkloadPlan, plan_json

SHOW = "import os; print(os.environ['http_proxy'])"


@pytest.fixture
def explicit_mesh(mesh: Any, free_port: Any) -> Any:
    """One workload by explicit proxying and one gateway, both in the host's own namespace."""
    ports = [free_port() for _ in range(4)]
    mesh.plan = Plan(
        mesh=f"t{uuid.uuid4().hex[:8]}",
        node="test-node",
        workloads=(
            WorkloadPlan(
                instance="web-1",
                workload="web",
                interception="explicit",
                ready_port=ports[0],
                explicit=ExplicitPlan(ports[1]),
                ports=(PortPlan("http", 80, "http", ports[2]),),
                command=(sys.executable, "-m", "http.server", str(ports[2])),
            ),
            WorkloadPlan(
                instance="gateway-1", workload="gateway", interception="none", kind="router", ready_port=ports[3]
            ),
        ),
    )
    mesh.control.listeners = ()
    (mesh.state / "plan.json").write_bytes(plan_json(mesh.plan))
    return mesh


async def test_workloads_run_in_the_hosts_namespace(explicit_mesh: Any, host_network: Any) -> None:
    """The host's network is not touched; readiness is asked at each workload's own port; the proxy is in the environment."""
    await explicit_mesh.start_agent()
    await explicit_mesh.all_ready()
    assert host_network() == []
    for workload in explicit_mesh.plan.workloads:
        url = f"http://127.0.0.1:{workload.ready_port}/healthz/ready"
        answer = await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)
        assert answer.status == 200
        answer.close()
    port = explicit_mesh.plan.workload("web").explicit.outbound_port
    assert explicit_mesh.inside("web-1", sys.executable, "-c", SHOW).strip() == f"http://127.0.0.1:{port}"
    await explicit_mesh.stop_agent()
    assert host_network() == []


async def test_a_drained_stop_ends_the_application_after_its_envoy_stopped_taking_requests(explicit_mesh: Any) -> None:
    """`POST /stop?drain=true` over the agent's socket ends the agent with everything removed."""
    import httpx

    await explicit_mesh.start_agent()
    await explicit_mesh.all_ready()
    transport = httpx.AsyncHTTPTransport(uds=str(explicit_mesh.state / "agent.sock"))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.post("http://agent/workloads/nobody/restart")).status_code == 404
        assert (await client.get("http://agent/workloads/web-1/envoy?path=/quitquitquit")).status_code == 404
        assert b"web-1" in (await client.get("http://agent/workloads/web-1/envoy?path=/server_info")).content
        assert (await client.post("http://agent/stop?drain=true")).status_code == 202
    async with asyncio.timeout(25):
        await explicit_mesh.agent.wait()
    assert not (explicit_mesh.state / "run").exists()
