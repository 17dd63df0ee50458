"""Supervision: the hands of a `Life`. It starts or adopts a process, watches it, and carries out what the state
machine orders.

One `Supervisor` owns one process and one task; all that happens to the process comes as an event through one queue,
so that no two orders can cross. Ending the task without a stop leaves the process running, to be adopted by the next
agent.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from byway.agent import lifecycle, processes
from byway.agent.frames import ProcessReport
from byway.agent.lifecycle import Action, Life, Phase, Policy
from byway.agent.processes import Launch, Process
from byway.base.clock import Clock

_EVENT_LIMIT: Final = 64
_PROBE_PERIOD_S: Final = 0.1
_PROBE_PERIOD_LIMIT_S: Final = 1.0

log = structlog.get_logger(__name__)


class Body(Protocol):
    """What is particular to one kind of process."""

    @property
    def fingerprint(self) -> str:
        """What the process was started for; one that was started for something else is restarted."""

    def launch(self) -> Launch:
        """How it is started; asked for only where there is nothing to adopt."""

    async def is_ready(self, pid: int) -> bool:
        """Whether it does its work."""

    async def drain(self) -> None:
        """Asks it to take nothing new; returns when nothing is left, or is cut off by the policy's bound."""


class Supervisor:
    """Keeps one process alive from start to stop."""

    def __init__(
        self,
        name: str,
        body: Body,
        *,
        record: Path,
        log_file: Path,
        policy: Policy,
        clock: Clock,
        chance: random.Random,
        on_change: Callable[[], None],
    ) -> None:
        self.name = name
        self.life = Life()
        self.process: Process | None = None
        self._body = body
        self._record = record
        self._log_file = log_file
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._on_change = on_change
        self._events: asyncio.Queue[lifecycle.Event] = asyncio.Queue(_EVENT_LIMIT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def tell(self, event: lifecycle.Event) -> None:
        """Hands in what happened or what is wanted."""
        self._events.put_nowait(event)

    async def run(self) -> None:
        """Runs until stopped for good (by its owner cancelling it: the process then goes on)."""
        known = processes.read_record(self._record)
        if known is not None:  # an earlier agent's: the count is the process's, not the agent's
            self.life = msgspec.structs.replace(self.life, n_restarts=known.n_restarts)
        try:
            while True:
                await self._advance(await self._next_event())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self.process is not None:
                self.process.close()

    async def reached(self, *phases: Phase) -> None:
        """Waits until the life is in one of `phases`."""
        while self.life.phase not in phases:
            self._changed.clear()
            await self._changed.wait()

    async def _next_event(self) -> lifecycle.Event:
        if self.life.deadline is None:
            return await self._events.get()
        try:
            async with asyncio.timeout(max(0.0, self.life.deadline - self._clock.monotonic())):
                return await self._events.get()
        except TimeoutError:
            return lifecycle.DidReachDeadline()

    async def _advance(self, event: lifecycle.Event) -> None:
        before = self.life
        self.life, actions = lifecycle.step(
            before, event, self._clock.monotonic(), jitter=self._chance.random(), policy=self._policy
        )
        for action in actions:
            self._perform(action)
        if self.life.phase is not before.phase:
            log.info("process changed", process=self.name, phase=self.life.phase.value, exit=self.life.last_exit)
            self._changed.set()
            self._on_change()

    def _perform(self, action: Action) -> None:
        match action:
            case Action.SPAWN:
                self._spawn()
            case Action.DRAIN:
                self._own(self._drained())
            case Action.TERMINATE:
                self._signal(signal.SIGTERM)
            case Action.KILL:
                self._signal(signal.SIGKILL)

    def _spawn(self) -> None:
        try:
            self.process = processes.adopted(self._record) or self._started()
        except OSError as error:
            self.tell(lifecycle.DidExit(f"could not be started: {error}"))
            return
        self._own(self._watched(self.process))
        if self.process.fingerprint != self._body.fingerprint:
            self.tell(lifecycle.WasAskedToRestart())

    def _started(self) -> Process:
        launch = msgspec.structs.replace(
            self._body.launch(),
            record=str(self._record),
            fingerprint=self._body.fingerprint,
            n_restarts=self.life.n_restarts,
        )
        return processes.start(launch, self._log_file)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send(number)

    async def _watched(self, process: Process) -> None:
        probing = self._own(self._probed(process))
        how = await process.exited()
        probing.cancel()
        self.process = None
        self.tell(lifecycle.DidExit(how))

    async def _probed(self, process: Process) -> None:
        period = _PROBE_PERIOD_S
        while not await self._body.is_ready(process.pid):
            await asyncio.sleep(period)
            period = min(_PROBE_PERIOD_LIMIT_S, period * 1.2)
        self.tell(lifecycle.DidBecomeReady())

    async def _drained(self) -> None:
        await self._body.drain()
        self.tell(lifecycle.DidDrain())

    def _own(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("supervision failed", process=self.name, error=repr(task.exception()))


def process_report(supervisor: Supervisor) -> ProcessReport:
    """What an operator is told about the process."""
    life, process = supervisor.life, supervisor.process
    return ProcessReport(
        phase=life.phase.value,
        pid=process.pid if process else 0,
        n_restarts=life.n_restarts,
        last_exit=life.last_exit,
    )
