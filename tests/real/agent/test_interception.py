"""A workload in its namespace: names resolve, every connection meets Envoy, and nothing is left when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from byway.agent import processes, teardown
from byway.agent.layout import Layout

FETCH = "import urllib.request; print(urllib.request.urlopen('http://{}/', timeout=5).read().decode())"
PEER = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
with socket.create_connection((sys.argv[1], 8080), timeout=5) as plain, context.wrap_socket(plain) as tls:
    print([name for kind, name in tls.getpeercert()["subjectAltName"] if kind == "URI"][0])
"""


async def test_names_resolve_by_the_normal_resolver(mesh: Any, eventually: Any) -> None:
    """Short names, names with a namespace and full names lead to the virtual address; unknown ones fail at once."""
    mesh.control.desk.publish_names({"analytics-service.default.svc.cluster.local": "240.240.0.7"})
    await mesh.start_agent()
    await mesh.all_ready()

    async def resolved() -> bool:
        return "240.240.0.7" in mesh.inside("web-1", "getent", "ahostsv4", "analytics-service")

    await eventually(resolved, 10)
    for name in (
        "analytics-service.default",
        "analytics-service.default.svc",
        "analytics-service.default.svc.cluster.local",
    ):
        assert "240.240.0.7" in mesh.inside("web-1", "getent", "ahosts", name)
    assert mesh.inside("web-1", "getent", "ahosts", "nobody.default.svc.cluster.local") == ""
    await mesh.kill_agent()
    assert "240.240.0.7" in mesh.inside("web-1", "getent", "ahosts", "analytics-service"), "names outlive the agent"


async def test_outgoing_connections_meet_envoy_whatever_their_address(mesh: Any) -> None:
    """A request to an address that does not exist is answered by the workload's own Envoy."""
    await mesh.start_agent()
    await mesh.all_ready()
    for address in ("240.240.0.9:8080", "198.51.100.1", mesh.plan.workload("edge-1").address):
        assert mesh.inside("web-1", sys.executable, "-c", FETCH.format(address)).strip() == "outbound"
    assert "Directory listing" in mesh.inside("web-1", sys.executable, "-c", FETCH.format("127.0.0.1:8080"))


async def test_incoming_connections_meet_envoy_on_every_port(mesh: Any) -> None:
    """A stranger who dials the application's, the readiness or the outbound port speaks to Envoy's inbound listener
    (TLS).
    """
    await mesh.start_agent()
    await mesh.all_ready()
    address = mesh.plan.workload("web-1").address
    for port in (8080, 15021, 15001, 15053, 9):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"HTTP" not in await reader.read(100)
        writer.close()


async def test_the_certificate_served_is_the_workloads_own(mesh: Any, eventually: Any) -> None:
    """SDS gives Envoy the workload's SPIFFE identity, which a client that trusts the mesh's root verifies."""
    await mesh.start_agent()
    await mesh.all_ready()
    address, root = mesh.plan.workload("web-1").address, str(mesh.state / "root-cert.pem")

    async def identity() -> str:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", PEER, address, root], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip()

    assert await eventually(identity, 10) == "spiffe://cluster.local/ns/default/sa/web"


async def test_the_control_plane_can_read_any_envoy_and_sees_every_state(mesh: Any, eventually: Any) -> None:
    """Through the control channel: reports of all workloads, reads of Envoy's admin interface, and nothing that
    changes it.
    """
    await mesh.start_agent()
    await mesh.all_ready()
    desk = mesh.control.desk

    async def reported() -> bool:
        return len(desk.states()) == 2 and all(w.is_ready for w in desk.states().values())

    await eventually(reported, 10)
    assert b"byway-agent" in await desk.ask("web-1", "/config_dump")
    with pytest.raises(Exception, match="nothing that an agent answers"):
        await desk.ask("web-1", "/quitquitquit")

    async def measured() -> bool:
        return any(b"server.uptime" in message for message in mesh.control.metrics)

    await eventually(measured, 10)


async def test_an_orderly_stop_leaves_the_host_as_it_was(mesh: Any, host_network: Any, process_of: Any) -> None:
    """Nothing is left of the mesh's rules, links, namespaces and routes."""
    await mesh.start_agent()
    workloads = await mesh.all_ready()
    assert len(host_network()) > 8
    await mesh.stop_agent()
    assert host_network() == []
    for instance, process in (("web-1", "envoy"), ("web-1", "application"), ("edge-1", "envoy")):
        assert processes.start_time(process_of(workloads, instance, process)) is None
    assert Layout(mesh.state).remembered() == ()


async def test_everything_can_be_removed_after_everything_was_killed(mesh: Any, host_network: Any) -> None:
    """The agent killed with -9, a removal without it ends its processes and takes the network back; a second one
    finds nothing.
    """
    await mesh.start_agent()
    await mesh.all_ready()
    await mesh.kill_agent()
    assert len(host_network()) > 8
    await asyncio.to_thread(teardown.remove_everything, mesh.state)
    assert host_network() == []
    await asyncio.to_thread(teardown.remove_everything, mesh.state)


async def test_the_agent_ends_everything_when_its_owner_is_gone(mesh: Any, host_network: Any) -> None:
    """The owner killed with -9, the agent removes all that it made, and itself."""
    owner = await asyncio.create_subprocess_exec("sleep", "60")
    await mesh.start_agent(owner_pid=owner.pid)
    await mesh.all_ready()
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    async with asyncio.timeout(25):
        await mesh.agent.wait()
    assert host_network() == []
