"""The agent's end of the control channel: one stream to the control plane under the agent's own identity, opened anew
when it breaks.

While it is away the last name table stays in force, and reports are made up for at the next connection: only the
latest state counts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
import msgspec
import structlog

from byway.agent import frames
from byway.agent.envoy_admin import AdminAnswer, is_readable
from byway.agent.frames import Answer, Ask, Hello, Names, Report, WorkloadReport
from byway.agent.uplink import NoCredentialYet, Uplink
from byway.base.errors import BywayError

_CONNECT_S: Final = 5.0
_RETRY_BASE_S: Final = 0.2
_RETRY_LIMIT_S: Final = 3.0
_QUESTION_LIMIT: Final = 16

Respond = Callable[[str, str], Awaitable[AdminAnswer]]

log = structlog.get_logger(__name__)


class ControlLink:
    """Keeps the control channel of one agent."""

    def __init__(
        self,
        uplink: Uplink,
        hello: Hello,
        *,
        respond: Respond,
        on_names: Callable[[dict[str, str]], None],
        chance: random.Random,
    ) -> None:
        self._uplink = uplink
        self._hello = hello
        self._respond = respond
        self._on_names = on_names
        self._chance = chance
        self._report = Report(())
        self._is_news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._questions: set[asyncio.Task[None]] = set()
        self.is_connected = False

    def report(self, workloads: tuple[WorkloadReport, ...]) -> None:
        """Tells the control plane the state of the workloads, now or when it is back."""
        self._report = Report(workloads)
        self._is_news.set()

    async def run(self) -> None:
        """Connects, and connects again, until cancelled."""
        n_failures = 0
        while True:
            try:
                await self._uplink.issued()
                async with asyncio.timeout(_CONNECT_S):
                    channel = await self._uplink.connected()
                await self._converse(opened(channel))
                n_failures = 0
            except (grpc.aio.AioRpcError, NoCredentialYet, TimeoutError) as fault:
                n_failures = 1 if self.is_connected else n_failures + 1
                reason = fault.details() if isinstance(fault, grpc.aio.AioRpcError) else str(fault)
                log.info("control plane not reached", reason=reason, n_failures=n_failures)
            finally:
                self.is_connected = False
            pause = min(_RETRY_LIMIT_S, _RETRY_BASE_S * 2.0 ** min(n_failures, 16))
            await asyncio.sleep(pause * (0.5 + self._chance.random() / 2))

    async def _converse(self, call: Any) -> None:
        await call.write(frames.encoded(self._hello))
        self._is_news.set()
        reading = asyncio.create_task(self._reading(call))
        reporting = asyncio.create_task(self._reporting(call))
        recalled = asyncio.create_task(self._uplink.recalled())
        try:
            await asyncio.wait((reading, recalled), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (reading, reporting, recalled, *self._questions):
                task.cancel()
            await asyncio.gather(reading, reporting, recalled, *self._questions, return_exceptions=True)
            call.cancel()

    async def _reading(self, call: Any) -> None:
        try:
            async for content in call:
                self.is_connected = True
                self._take(frames.to_agent(content), call)
        except msgspec.DecodeError as fault:
            log.error("control plane sent an unreadable frame", error=str(fault))

    async def _reporting(self, call: Any) -> None:
        while True:
            await self._is_news.wait()
            self._is_news.clear()
            await self._write(call, self._report)

    def _take(self, frame: frames.ToAgent, call: Any) -> None:
        match frame:
            case Names(_, names):
                self._on_names(names)
            case Ask():
                task = asyncio.create_task(self._answer(frame, call))
                self._questions.add(task)
                task.add_done_callback(self._questions.discard)

    async def _answer(self, ask: Ask, call: Any) -> None:
        for part in answer_parts(ask.id, await self._answered(ask)):
            await self._write(call, part)

    async def _answered(self, ask: Ask) -> AdminAnswer | str:
        if not is_readable(ask.path):
            return f"{ask.path} is nothing that an agent answers"
        if len(self._questions) > _QUESTION_LIMIT:
            return "too many questions at once"
        try:
            return await self._respond(ask.instance, ask.path)
        except BywayError as fault:
            return str(fault)

    async def _write(self, call: Any, frame: frames.FromAgent) -> None:
        async with self._writing:
            await call.write(frames.encoded(frame))


def opened(channel: Any) -> Any:
    """The control channel's stream; the stubs know no call without a request iterator."""
    return channel.stream_stream(frames.METHOD)()


def answer_parts(question: int, answer: AdminAnswer | str) -> tuple[Answer, ...]:
    """The frames that carry an answer; a text is the reason why there is none."""
    if isinstance(answer, str):
        return (Answer(id=question, fault=answer),)
    starts = range(0, max(1, len(answer.body)), frames.PART_BYTES)
    return tuple(
        Answer(
            id=question,
            status=answer.status,
            body=answer.body[start : start + frames.PART_BYTES],
            has_more=start + frames.PART_BYTES < len(answer.body),
        )
        for start in starts
    )
