"""A child process that is started again whenever it dies: the control plane, the agent, the demo's load.

Children are told who their owner is and end when it is gone, so even a killed supervisor leaves none of them behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from byway.app import announcement

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0
_STEADY_S = 10.0
_END_S = 20.0
_log = structlog.get_logger("byway.local")


class Child:
    """One supervised program; `run` is its life."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.n_restarts = 0
        self.last_exit: int | None = None
        self.log = log
        self._command = tuple(command)
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._is_ending = False

    @property
    def last_words(self) -> str:
        """Why it ended: the last complaint in this run's log, else the last line of it that says anything."""
        with contextlib.suppress(OSError):
            lines = self.log.read_bytes()[-8192:].decode(errors="replace").splitlines()
            telling = [line for line in lines if any(letter.isalnum() for letter in line)]
            complaints = [line for line in telling if line.startswith("byway ")]
            return (complaints or telling or [""])[-1].strip()
        return ""

    @property
    def pid(self) -> int:
        """The process that runs now; 0 where none does."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def run(self) -> None:
        """Starts it, and starts it again, the first time at once and then with growing pauses."""
        loop = asyncio.get_running_loop()
        backoff = 0.0
        self._put_former_log_aside()
        while not self._is_ending:
            began = loop.time()
            self.last_exit = await self._once()
            if self._is_ending:
                return
            if loop.time() - began > _STEADY_S:
                backoff = 0.0
            announcement.ended(self.name, self.last_exit, backoff)
            await asyncio.sleep(backoff)
            backoff = min(max(backoff * 2, _FIRST_BACKOFF_S), _LONGEST_BACKOFF_S)
            self.n_restarts += 1

    async def end(self, ask: Callable[[], Awaitable[bool]] | None = None, limit_s: float = _END_S) -> None:
        """Ends it, by `ask` (by SIGTERM where that was in vain), and after `limit_s` by SIGKILL."""
        self._is_ending = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        if ask is None or not await ask():
            self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), limit_s)
        except TimeoutError:
            _log.error("process does not end and is killed", name=self.name, pid=process.pid)
            self._signal(signal.SIGKILL)
            await process.wait()

    async def _once(self) -> int:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        return await self._process.wait()

    def _put_former_log_aside(self) -> None:
        """A log holds one run, and the run before it can still be read."""
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.old"))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
