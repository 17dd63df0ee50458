"""The bench's side of a control plane in another process: starts it, tells it what to do, reads what it says, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from bench.churn import Churned
from bench.plane import Work
from bench.plane_process import Command, Order, Ready, Seen
from bench.process import BenchFailed

T = TypeVar("T")

_ROOT: Final = Path(__file__).resolve().parents[1]
_START_S: Final = 300.0
_ANSWER_S: Final = 180.0
_END_S: Final = 20.0
_LINE_BYTES: Final = 64 << 20
_SHOWN: Final = 2_000


class Control:
    """A running control plane, or bare server."""

    def __init__(self, process: asyncio.subprocess.Process, log: BinaryIO) -> None:
        self._process = process
        self._log = log
        self._began = time.monotonic()
        self.target = ""
        self.start_s = 0.0
        """From the start of the process, imports included, until it served."""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def tell(self, word: Any) -> None:
        """Says something to it; lines are few and short."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(word) + b"\n")

    async def started(self) -> Ready:
        """Waits until it serves."""
        ready = await self._line(Ready, _START_S)
        self.target, self.start_s = ready.target, time.monotonic() - self._began
        return ready

    async def change(self, do: str, n: int, service: int = 0) -> Work:
        """Changes one thing, and waits for its last ACK."""
        return await self._ask(Command(do=do, n=n, service=service), Work)

    async def seen(self) -> Seen:
        """The process as it is."""
        return await self._ask(Command(do="see"), Seen)

    async def tidied(self) -> Seen:
        """The process after it has forgotten what nobody reads."""
        return await self._ask(Command(do="tidy"), Seen)

    async def churn(self, rate: float, seconds: float) -> Churned:
        """Endpoint churn for so long."""
        return await self._ask(Command(do="churn", rate=rate, seconds=seconds), Churned, seconds + _ANSWER_S)

    async def _ask(self, command: Command, answer: type[T], limit_s: float = _ANSWER_S) -> T:
        self.tell(command)
        return await self._line(answer, limit_s)

    async def _line(self, answer: type[T], limit_s: float) -> T:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), limit_s)
        except TimeoutError:
            raise BenchFailed(f"the control plane of the bench said nothing for {limit_s:.0f} s") from None
        if not line:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip()
            raise BenchFailed(f"the control plane of the bench ended: {said[-_SHOWN:]}")
        return msgspec.json.decode(line, type=answer)


@contextlib.asynccontextmanager
async def running(module: str, order: Any) -> AsyncIterator[Control]:
    """Runs a module with its order until it serves, and ends it afterwards."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", sys.executable, "-m", module,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=_LINE_BYTES, cwd=_ROOT,
        )  # fmt: skip
        try:
            control = Control(process, log)
            control.tell(order)
            await control.started()
            yield control
        finally:
            await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """It ends with its input, and is killed when it does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def plane(n_services: int, n_endpoints: int, **options: Any) -> contextlib.AbstractAsyncContextManager[Control]:
    """A control plane over a mesh of this size."""
    return running("bench.plane_process", Order(n_services=n_services, n_endpoints=n_endpoints, **options))
