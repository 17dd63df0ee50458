"""The bare server: a grpc.aio handler that pushes given bytes to every stream, and waits for an answer from each.

The least that any control plane in Python must do for a push. The fake proxies at its other end are the same. It is told
what to do as `plane_process` is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
import msgspec

from bench.plane import Work
from bench.plane_process import Command, Ready, Seen, lines, tell
from byway.ads.server import SERVER_OPTIONS
from byway.ads.wire import METHOD, SERVICE

_LIMIT_S: Final = 120.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What it says: `first` to each new stream, and the messages of a push by its name."""

    first: list[bytes] = []
    pushes: dict[str, list[bytes]] = {}


class Server:
    """See the module."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._queues: dict[asyncio.Queue[bytes], None] = {}
        self._n_due = 0
        self._is_done = asyncio.Event()

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """One proxy."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1_000)
        await anext(requests)
        for message in self._order.first:
            queue.put_nowait(message)
        self._queues[queue] = None
        writer = asyncio.create_task(_write(queue, context))
        try:
            async for _ in requests:
                self._n_due -= 1
                if not self._n_due:
                    self._is_done.set()
        finally:
            del self._queues[queue]
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def push(self, messages: list[bytes]) -> float:
        """Seconds until every stream has answered to every message."""
        self._n_due = len(messages) * len(self._queues)
        self._is_done.clear()
        began = time.perf_counter()
        for queue in self._queues:
            for message in messages:
                queue.put_nowait(message)
        async with asyncio.timeout(_LIMIT_S):
            await self._is_done.wait()
        return time.perf_counter() - began

    async def run(self, commands: asyncio.StreamReader) -> None:
        """Serves until its input ends."""
        server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=20_000)
        handler = grpc.stream_stream_rpc_method_handler(self.stream)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        tell(Ready(target=f"127.0.0.1:{port}", seconds=0.0, n_resources=0))
        while line := await commands.readline():
            tell(await self._answer(msgspec.json.decode(line, type=Command)))
        await server.stop(0.5)

    async def _answer(self, command: Command) -> Work | Seen:
        n = len(self._queues)
        if command.do == "see":
            return Seen(
                n_connected=n,
                n_in_sync=n,
                n_sent=0,
                n_computed=0,
                n_memos=0,
                private_mb=0,
                processor_s=time.process_time(),
            )
        messages = self._order.pushes[command.do]
        seconds = await self.push(messages)
        return Work(n_queries=0, n_sent=n * len(messages), n_affected=n, n_acked=n, seconds=seconds)


async def _write(queue: asyncio.Queue[bytes], context: Any) -> None:
    while True:
        await context.write(await queue.get())


async def _main() -> None:
    commands = await lines()
    await Server(msgspec.json.decode(await commands.readline(), type=Order)).run(commands)


if __name__ == "__main__":
    asyncio.run(_main())
