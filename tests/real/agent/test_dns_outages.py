"""No lookup fails while the DNS server is away: its sockets are the agent's, and queries wait in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from byway.agent import processes
from byway.agent.dns_server import READY_FILE
from byway.agent.exec import exec_command
from byway.agent.layout import Layout

NAME = "analytics-service"
LOOKUPS = f"""
import json, os, socket, sys, threading, time
os.environ["RES_OPTIONS"] = sys.argv[1]
over, took, failed = threading.Event(), [], []
def ask():
    while not over.is_set():
        began = time.monotonic()
        try:
            socket.getaddrinfo("{NAME}", 80, socket.AF_INET)
        except OSError as error:
            failed.append(str(error))
        took.append(time.monotonic() - began)
askers = [threading.Thread(target=ask) for _ in range(4)]
for asker in askers:
    asker.start()
print("begun", flush=True)
sys.stdin.read()
over.set()
for asker in askers:
    asker.join()
print(json.dumps({{"n_lookups": len(took), "failed": failed, "slowest_s": max(took)}}))
"""


class Lookups(msgspec.Struct):
    """What four threads saw that asked for one name again and again by the system's own resolver."""

    n_lookups: int = 0
    failed: list[str] = []
    slowest_s: float = 0.0


@contextlib.asynccontextmanager
async def asking(mesh: Any, options: str = "") -> AsyncIterator[Lookups]:
    """Asks in the workload's namespace as long as the block lasts, and then fills the result in."""
    argv = exec_command(mesh.plan, "web-1", (sys.executable, "-c", LOOKUPS, options), Layout(mesh.state))
    asker = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert asker.stdout is not None
    async with asyncio.timeout(20):
        assert await asker.stdout.readline() == b"begun\n"
    seen = Lookups()
    try:
        yield seen
    finally:
        async with asyncio.timeout(20):
            said, _ = await asker.communicate(b"")
    found = json.loads(said.splitlines()[-1])
    seen.n_lookups, seen.failed, seen.slowest_s = found["n_lookups"], found["failed"], found["slowest_s"]


async def served_by(mesh: Any, eventually: Any, other_than: int = 0) -> int:
    """The pid of the DNS server, once it serves."""
    layout = Layout(mesh.state)

    async def serving() -> int:
        found = processes.read_record(layout.record("dns"))
        pid = found.pid if found else 0
        is_ready = pid != other_than and (layout.dns / READY_FILE).exists()
        return pid if is_ready and (layout.dns / READY_FILE).read_text() == str(pid) else 0

    pid: int = await eventually(serving, 15)
    return pid


@pytest.fixture
async def named_mesh(mesh: Any, eventually: Any) -> Any:
    """A mesh in which the name is known."""
    mesh.control.desk.publish_names({f"{NAME}.default.svc.cluster.local": "240.240.0.7"})
    await mesh.start_agent()
    await mesh.all_ready()

    async def resolved() -> bool:
        return "240.240.0.7" in mesh.inside("web-1", "getent", "ahostsv4", NAME)

    await eventually(resolved, 10)
    return mesh


async def killed(mesh: Any, eventually: Any) -> None:
    """The DNS server ends with -9, and its successor serves."""
    server = await served_by(mesh, eventually)
    os.kill(server, signal.SIGKILL)
    await served_by(mesh, eventually, other_than=server)


@pytest.mark.parametrize("options", ["", "use-vc"], ids=["datagrams", "streams"])
async def test_no_lookup_fails_while_the_server_is_replaced(named_mesh: Any, eventually: Any, options: str) -> None:
    """Killed twice under a stream of lookups, and all are answered; only one that the dying server had taken already is
    asked again, after the 2 s of the resolver.
    """
    async with asking(named_mesh, options) as seen:
        for _ in range(2):
            await killed(named_mesh, eventually)
    print(seen)
    assert seen.failed == []
    assert seen.n_lookups > 10
    assert seen.slowest_s < 4


async def test_the_sockets_survive_the_agent_as_well(named_mesh: Any, eventually: Any) -> None:
    """The agent killed, the server goes on; the next agent takes its sockets back, and the server can be killed again."""
    server = await served_by(named_mesh, eventually)
    async with asking(named_mesh) as seen:
        await named_mesh.kill_agent()
        await named_mesh.start_agent()
        await named_mesh.all_ready()
        assert await served_by(named_mesh, eventually) == server
        await killed(named_mesh, eventually)
    print(seen)
    assert seen.failed == []
    assert seen.slowest_s < 4
