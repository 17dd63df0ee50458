"""A gateway listens on a port below 1024 without being root, nothing else of the mesh can, and who may not is told."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from byway.agent.plan import Plan, WorkloadPlan, plan_json
from byway.model.names import PROXY_UID

BIND_SERVICE = 1 << 10


def low_port() -> int:
    """A free port that only root, or who has the capability, may listen on."""
    for port in range(1023, 0, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port below 1024 is free")


def privileges(pid: int) -> dict[str, int]:
    """The user and the sets of capabilities of a process."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fields = {words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}
    return {"Uid": int(fields["Uid"])} | {name: int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")}


@pytest.fixture
def gateway_mesh(mesh: Any, free_port: Any) -> Any:
    """A gateway in the host's own namespace, whose listener is on a low port."""
    mesh.plan = Plan(
        mesh=f"t{uuid.uuid4().hex[:8]}",
        node="test-node",
        workloads=(
            WorkloadPlan(
                instance="gateway-1", workload="gateway", interception="none", kind="router", ready_port=free_port()
            ),
        ),
    )
    mesh.control.listeners = (("edge", low_port(), False),)
    (mesh.state / "plan.json").write_bytes(plan_json(mesh.plan))
    return mesh


async def test_a_gateway_serves_a_port_below_1024(gateway_mesh: Any, process_of: Any) -> None:
    """Its Envoy is an unprivileged user's all the same, with that one capability."""
    await gateway_mesh.start_agent()
    envoy = process_of(await gateway_mesh.all_ready(), "gateway-1", "envoy")
    url = f"http://127.0.0.1:{gateway_mesh.control.listeners[0][1]}/"
    answer = await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)
    assert answer.read() == b"edge"
    assert privileges(envoy) == {"Uid": PROXY_UID} | dict.fromkeys(("CapPrm", "CapEff", "CapAmb"), BIND_SERVICE)
    await gateway_mesh.stop_agent()


async def test_a_sidecar_has_no_capability(mesh: Any, process_of: Any) -> None:
    """Neither has the application."""
    await mesh.start_agent()
    workloads = await mesh.all_ready()
    for process in ("envoy", "application"):
        kept = privileges(process_of(workloads, "web-1", process))
        assert (kept.pop("Uid") > 0, set(kept.values())) == (True, {0})
    await mesh.stop_agent()


def test_who_may_not_listen_on_a_low_port_is_told_so(tmp_path: Path) -> None:
    """Before anything is started; it is not taken for a port that somebody else holds."""
    address, file = f"127.0.0.1:{low_port()}", tmp_path / "byway.yaml"
    service = "services: {web: {port: 8080, command: [sleep, '9']}}"
    file.write_text(f'mesh: low\n{service}\ngateways: {{edge: {{listen: "{address}"}}}}\n')
    without = ("setpriv", "--bounding-set", "-net_bind_service", sys.executable, "-m", "byway.cli.main")
    command = (*without, "up", "-f", str(file), "--proxy", "explicit", "--state", str(tmp_path / "state"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, f"{address} is for root only" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "state").exists()
