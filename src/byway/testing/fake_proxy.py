"""A proxy that speaks delta ADS as Envoy does: a `FakeEnvoy` on a gRPC channel, for tests by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2

from byway.ads.action import Entry, Send
from byway.ads.event import Requested
from byway.ads.wire import METHOD, SERVICE
from byway.testing.fake_envoy import FakeEnvoy

__all__ = ["FakeEnvoy", "FakeProxy", "sent"]


class FakeProxy:
    """A `FakeEnvoy` on a real channel; `async with` connects it."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        node_id: str,
        *,
        metadata: Mapping[str, str] | None = None,
        envoy: FakeEnvoy | None = None,
    ) -> None:
        self.envoy = envoy or FakeEnvoy()
        self._channel = channel
        self._node_id = node_id
        self._metadata = dict(metadata or {})
        self._requests: asyncio.Queue[bytes] = asyncio.Queue(maxsize=100_000)
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self.has_ended = False
        self.n_responses = 0  # over all streams, as are the bytes
        self.n_bytes = 0
        self.recorded: list[bytes] | None = None  # the responses as they came, where somebody wants them

    async def __aenter__(self) -> FakeProxy:
        self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    def connect(self) -> None:
        """Open a stream, naming what is held already."""
        self._requests = asyncio.Queue(maxsize=100_000)
        method = self._channel.stream_stream(
            f"/{SERVICE}/{METHOD}", request_serializer=None, response_deserializer=None
        )
        self.has_ended = False
        first, *rest = self.envoy.connect()
        self._requests.put_nowait(self._bytes(first, is_first=True))
        self._put(rest)
        self._call = method(_items(self._requests))
        self._reader = asyncio.create_task(self._read(self._call))

    async def disconnect(self) -> None:
        """End the stream; what is held stays."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """The same, with what the server said of it."""
        assert self._call is not None
        return await self._call.code(), await self._call.details() or ""

    async def status(self) -> grpc.StatusCode:
        """Waits for the end of the stream, and returns how the server ended it."""
        assert self._call is not None
        return await self._call.code()

    def ask_virtual_host(self, name: str) -> None:
        """A request came for a new host."""
        self._put(self.envoy.ask_virtual_host(name))

    def ask_cluster(self, name: str) -> None:
        """A connection came for a new destination."""
        self._put(self.envoy.ask_cluster(name))

    async def until(self, is_so: Callable[[FakeEnvoy], bool], *, timeout_s: float = 5.0) -> None:
        """Wait until `is_so` holds of the proxy; raises when the stream ends before."""
        reader = self._reader
        assert reader is not None
        async with asyncio.timeout(timeout_s), self._moved:
            await self._moved.wait_for(lambda: is_so(self.envoy) or self.has_ended)
        if not is_so(self.envoy):
            await reader
            code, details = await self.end()
            raise ConnectionError(f"the stream has ended: {code.name} {details}")

    async def _read(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        try:
            async for message in call:
                self.n_responses += 1
                self.n_bytes += len(message)
                if self.recorded is not None:
                    self.recorded.append(message)
                self._put(self.envoy.receive(sent(message)))
                async with self._moved:
                    self._moved.notify_all()
        except grpc.aio.AioRpcError:
            return  # the stream's end is told by `status`
        finally:
            self.has_ended = True
            async with self._moved:
                self._moved.notify_all()

    def _put(self, requests: list[Requested]) -> None:
        for request in requests:
            self._requests.put_nowait(self._bytes(request, is_first=False))

    def _bytes(self, request: Requested, *, is_first: bool) -> bytes:
        message = discovery_pb2.DeltaDiscoveryRequest(
            type_url=request.type_url,
            resource_names_subscribe=request.subscribe,
            resource_names_unsubscribe=request.unsubscribe,
            initial_resource_versions=dict(request.initial_versions),
            response_nonce=request.nonce,
        )
        if request.error is not None:
            message.error_detail.code = 13
            message.error_detail.message = request.error
        if is_first:
            message.node.id = self._node_id
            message.node.metadata.update(self._metadata)
        return bytes(message.SerializeToString())


def sent(message: bytes) -> Send:
    """The response that `message` spells, decoded by the generated classes."""
    decoded = discovery_pb2.DeltaDiscoveryResponse.FromString(message)
    entries = tuple(
        Entry(r.name, r.version, r.resource.SerializeToString() if r.HasField("resource") else None, tuple(r.aliases))
        for r in decoded.resources
    )
    removed = tuple(decoded.removed_resources)
    return Send(type_url=decoded.type_url, nonce=decoded.nonce, entries=entries, removed=removed)


async def _items(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()
