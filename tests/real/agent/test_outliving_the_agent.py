"""Applications and Envoys outlive their agent, and a restarted agent takes them up again."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


async def test_a_restarted_agent_adopts_what_it_finds(mesh: Any, eventually: Any, process_of: Any) -> None:
    """Killed with -9 and started again, the agent has the same Envoys and applications, and they the same
    configuration.
    """
    await mesh.start_agent()
    before = await mesh.all_ready()
    await mesh.kill_agent()
    assert mesh.inside("web-1", "getent", "hosts", "nobody.default.svc.cluster.local") == ""
    await mesh.start_agent()
    after = await mesh.all_ready()
    for instance, process in (("web-1", "envoy"), ("web-1", "application"), ("edge-1", "envoy")):
        assert process_of(before, instance, process) == process_of(after, instance, process) > 0

    async def resumed() -> bool:
        return len(mesh.control.resumed) >= 4

    await eventually(resumed, 10)
    assert all(set(versions) == {"inbound", "outbound"} for versions in mesh.control.resumed[2:])
    await mesh.stop_agent()


async def test_a_killed_envoy_is_back_within_two_seconds(mesh: Any, eventually: Any, process_of: Any) -> None:
    """Envoy killed with -9 is started again at once, with a new epoch."""
    await mesh.start_agent()
    killed = process_of(await mesh.all_ready(), "edge-1", "envoy")
    os.kill(killed, signal.SIGKILL)
    start = time.monotonic()

    async def back() -> bool:
        workloads = await mesh.workloads()
        envoy = next(w for w in workloads if w["instance"] == "edge-1")["envoy"]
        return bool(envoy["phase"] == "ready" and envoy["pid"] != killed)

    await eventually(back, 5)
    assert time.monotonic() - start <= 2.0
    await mesh.stop_agent()
