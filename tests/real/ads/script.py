"""A server of delta ADS that says what a script tells it to, to one real Envoy, and records what that says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import grpc
import grpc.aio
import msgspec

from byway.ads import wire
from byway.ads.action import Entry, Send
from byway.ads.catalogue import PLACEHOLDER
from byway.ads.event import Requested
from byway.testing.recording import Spoken, Step
from byway.xds.resource import Resource

FENCE = "fence"
LIMIT_S = 30.0
QUIET_S = 1.0
"""Before virtual hosts are subscribed to there is no fence: then Envoy has said all when it says nothing for so long."""


class Script:
    """The steps; each ends once Envoy has said all that it has to say to it.

    That is known by a fence: the placeholder, sent again unchanged. Envoy takes responses one after another.
    """

    def __init__(self, socket_path: Path) -> None:
        self.steps: list[Step] = []
        self._path = socket_path
        self._heard: asyncio.Queue[Requested] = asyncio.Queue(maxsize=10_000)
        self._context: grpc.aio.ServicerContext[bytes, bytes] | None = None
        self._is_broken = asyncio.Event()
        self._fence = b""
        self._n = 0

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Script]:
        """Listens."""
        handler = grpc.stream_stream_rpc_method_handler(self._stream, None, None)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: handler}),))
        server.add_insecure_port(f"unix:{self._path}")
        await server.start()
        try:
            yield self
        finally:
            self._is_broken.set()
            await server.stop(None)

    async def _stream(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._context, self._is_broken = context, asyncio.Event()
        reader = asyncio.create_task(self._read(requests))
        await self._is_broken.wait()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the script breaks the stream")

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for message in requests:
            found = wire.request(message)
            assert isinstance(found, tuple), found
            self._heard.put_nowait(found[0])

    # --- the steps ---

    async def stream(self, title: str) -> None:
        """A stream opens, the one before having been broken, if there was one."""
        self._is_broken.set()
        await self._end(Step(title=title, what="stream"), n_awaited=1)

    async def sends(
        self, title: str, *resources: Resource, removed: tuple[tuple[str, str], ...] = (), bad: tuple[str, ...] = ()
    ) -> None:
        """A response of resources of one type, or removals (type and name); its number is their version."""
        (type_url,) = {r.type_url for r in resources} | {type_url for type_url, _ in removed}
        entries = tuple(Entry(r.name, str(self._n + 1), r.any_bytes) for r in resources)
        await self.answers(title, type_url, *entries, removed=tuple(name for _, name in removed), bad=bad)

    async def sends_host(self, title: str, host: Resource, *asked: str, bad: bool = False) -> None:
        """A virtual host, by the names that were asked for."""
        entry = Entry(host.name, str(self._n + 1), host.any_bytes, asked)
        await self.answers(title, host.type_url, entry, bad=(host.name,) if bad else ())

    async def answers(
        self, title: str, type_url: str, *entries: Entry, removed: tuple[str, ...] = (), bad: tuple[str, ...] = ()
    ) -> None:
        """A response as it is."""
        self._n += 1
        message = wire.response(Send(type_url=type_url, nonce=str(self._n), entries=entries, removed=removed))
        await self._write(message)
        content = base64.b64encode(message).decode()
        await self._end(Step(title=title, what="response", content=content, bad=bad))
        if any(entry.name == PLACEHOLDER for entry in entries):
            self._fence = wire.response(Send(type_url=type_url, nonce=FENCE, entries=entries))

    async def called(self, title: str, name: str, *, is_cluster: bool = False, is_asked: bool = True) -> None:
        """The application has called something just now; Envoy asks for it once it has read the call."""
        what: Literal["address", "host"] = "address" if is_cluster else "host"
        await self._end(Step(title=title, what=what, content=name), n_awaited=int(is_asked))

    async def waits(self, title: str, what: Literal["patience", "drained"]) -> None:
        """A time of Envoy's own comes to its end, and it says something."""
        await self._end(Step(title=title, what=what), n_awaited=1)

    # --- how it comes about ---

    async def _end(self, step: Step, n_awaited: int = 0) -> None:
        async with asyncio.timeout(LIMIT_S):
            heard = [await self._heard.get() for _ in range(n_awaited)]
            heard += await self._said()
        said = tuple(Spoken.of(request) for request in heard)
        self.steps.append(msgspec.structs.replace(step, said=said))

    async def _said(self) -> list[Requested]:
        heard: list[Requested] = []
        if not self._fence:
            with contextlib.suppress(TimeoutError):
                while True:
                    heard.append(await asyncio.wait_for(self._heard.get(), QUIET_S))
            return heard
        await self._write(self._fence)
        while (request := await self._heard.get()).nonce != FENCE:
            heard.append(request)
        return heard

    async def _write(self, message: bytes) -> None:
        assert self._context is not None
        await self._context.write(message)
