"""The agent as a process."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from byway.agent import host
from byway.agent.binary import envoy_binary
from byway.app.serving import ended_by_signals
from byway.app.settings import AgentSettings
from byway.base.clock import SystemClock


def run_agent(settings: AgentSettings) -> int:
    """Runs the agent; a signal ends it and leaves what it runs to be adopted by the next one. Returns the exit code."""
    asyncio.run(_run(settings))
    return 0


async def _run(settings: AgentSettings) -> None:
    agent_settings = host.Settings(
        state=Path(settings.state),
        server=settings.control_plane,
        envoy=envoy_binary(settings.envoy, os.environ),
        owner_pid=settings.owner_pid,
        certificate_life_s=int(settings.certificate_life_s),
    )
    leaving = asyncio.Event()
    with ended_by_signals(leaving):
        running = asyncio.create_task(
            host.run(agent_settings, clock=SystemClock(), chance=random.Random())  # noqa: S311 - jitter, no secret
        )
        waiting = asyncio.create_task(leaving.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            running.result()
            return
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
