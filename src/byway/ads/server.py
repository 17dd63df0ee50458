"""The gRPC face of the hub, for peers that present a certificate: delta ADS for proxies, both variants for gRPC's own clients.

Who a peer is, is read from the verified client certificate and from nothing else; what it claims to be (`node`) is the
catalogue's to admit. Whatever a peer sends, the worst that happens to anyone is that its own stream ends with a status.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import grpc
import grpc.aio
import msgspec
from cryptography import x509

from byway.ads import state_of_the_world, wire
from byway.ads.action import Close
from byway.ads.catalogue import Proxy, Refusal
from byway.ads.entrance import Crowded
from byway.ads.event import Requested
from byway.ads.hub import Hub, Stream
from byway.ads.outbox import Outbox
from byway.ads.state_of_the_world import Translation, WorldRequest

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
PeerOf: TypeAlias = Callable[[Context], str | None]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one peer may use."""

    n_names_per_request: int = 65_536  # an eager proxy names all services when it comes back
    n_streams_per_instance: int = 8
    n_streams_per_grpc_instance: int = 128  # a gRPC client opens one for each channel
    n_streams_per_identity: int = 1_000
    first_request_s: float = 10.0


_LAST_WRITE_S: Final = 0.5

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 256),  # of one connection
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 5),
    ("grpc.so_reuseport", 0),
)
"""For the server that this is added to: bounds on messages, and pings that find half-open connections."""


def certificate_peer(context: Context) -> str | None:
    """The SPIFFE id of the client's verified certificate; none without exactly one URI in it."""
    certificates = tuple(context.auth_context().get("x509_pem_cert", ()))
    if len(certificates) != 1:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(certificates[0])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 and uris[0].startswith("spiffe://") else None


def discovery_handlers(
    hub: Hub, *, limits: Limits | None = None, peer_of: PeerOf = certificate_peer
) -> tuple[grpc.GenericRpcHandler[bytes, bytes], ...]:
    """What to add to a `grpc.aio` server."""
    discovery = _Discovery(hub, limits or Limits(), peer_of)
    methods = {
        wire.METHOD: grpc.stream_stream_rpc_method_handler(discovery.delta),
        state_of_the_world.METHOD: grpc.stream_stream_rpc_method_handler(discovery.state_of_the_world),
    }
    return (grpc.method_handlers_generic_handler(wire.SERVICE, methods),)


_Payer: TypeAlias = str | tuple[str, str]


class _Variant(Protocol):
    """One variant of the protocol on one stream; its requests are its own kind of value."""

    def request(self, message: bytes) -> tuple[Any, wire.Claim | None] | wire.Malformed:
        """What `message` asks, and who says so."""

    def n_names(self, request: Any) -> int:
        """How many names are in a request."""

    async def receive(self, request: Any, talk: _Talk) -> None:
        """The client sent `request`."""

    async def respond(self, message: bytes, talk: _Talk) -> None:
        """The hub sent `message`."""


class _Delta:
    """The incremental variant, which the hub speaks itself."""

    def request(self, message: bytes) -> tuple[Requested, wire.Claim | None] | wire.Malformed:
        """What `message` asks, and who says so."""
        return wire.request(message)

    def n_names(self, request: Requested) -> int:
        """How many names are in a request."""
        return max(len(request.subscribe) + len(request.unsubscribe), len(request.initial_versions))

    async def receive(self, request: Requested, talk: _Talk) -> None:
        """The client sent `request`."""
        await talk.tell(request)

    async def respond(self, message: bytes, talk: _Talk) -> None:
        """The hub sent `message`."""
        await talk.write(message)


class _World:
    """The state-of-the-world variant, translated."""

    def __init__(self) -> None:
        self._translation = Translation()
        self._writing = asyncio.Lock()  # here what the client says may be answered at once, beside what the hub says

    def request(self, message: bytes) -> tuple[WorldRequest, wire.Claim | None] | wire.Malformed:
        """What `message` asks, and who says so."""
        return state_of_the_world.request(message)

    def n_names(self, request: WorldRequest) -> int:
        """How many names are in a request."""
        return len(request.names)

    async def receive(self, request: WorldRequest, talk: _Talk) -> None:
        """The client sent `request`."""
        await self._take(self._translation.requested(request), talk)

    async def respond(self, message: bytes, talk: _Talk) -> None:
        """The hub sent `message`."""
        await self._take(self._translation.told(message), talk)

    async def _take(self, step: state_of_the_world.Step, talk: _Talk) -> None:
        for event in step.events:
            await talk.tell(event)
        async with self._writing:
            for response in step.responses:
                await talk.write(response)


class _Talk:
    """One admitted stream between its client and the hub."""

    def __init__(self, hub: Hub, stream: Stream, context: Context) -> None:
        self.stream = stream
        self._hub = hub
        self._context = context

    async def tell(self, event: Requested) -> None:
        """Pass on what the client said."""
        await self._hub.receive(self.stream, event)

    async def write(self, message: bytes) -> None:
        """Send the client a response; only one at a time."""
        await self._context.write(message)


class _Discovery:
    def __init__(self, hub: Hub, limits: Limits, peer_of: PeerOf) -> None:
        self._hub = hub
        self._limits = limits
        self._peer_of = peer_of
        self._n_streams: Counter[_Payer] = Counter()

    async def delta(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One call of DeltaAggregatedResources."""
        await self._stream(_Delta(), requests, context)

    async def state_of_the_world(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One call of StreamAggregatedResources."""
        await self._stream(_World(), requests, context)

    async def _stream(self, variant: _Variant, requests: AsyncIterator[bytes], context: Context) -> None:
        peer = self._peer_of(context)
        if peer is None:
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED, "a client certificate with one SPIFFE id is needed")
        first, claim = await self._first_request(variant, requests, context)
        admitted = self._hub.catalogue.admit(peer, claim.node_id, claim.metadata)
        if isinstance(admitted, Refusal):
            await _abort(context, grpc.StatusCode.PERMISSION_DENIED, admitted.reason)
        is_grpc = admitted.kind == "grpc"
        if isinstance(variant, _World) and not is_grpc:
            await _abort(context, grpc.StatusCode.UNIMPLEMENTED, "proxies are served by DeltaAggregatedResources")
        keys: tuple[_Payer, _Payer] = (peer, (peer, admitted.instance))
        each = self._limits.n_streams_per_grpc_instance if is_grpc else self._limits.n_streams_per_instance
        most = (self._limits.n_streams_per_identity, each)
        if any(self._n_streams[key] >= n for key, n in zip(keys, most, strict=True)):
            await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams of one peer")
        self._n_streams.update(keys)
        try:
            await self._serve(variant, requests, context, admitted, claim.node_id, first)
        finally:
            self._n_streams.subtract(keys)
            for key in keys:
                if not self._n_streams[key]:
                    del self._n_streams[key]

    async def _first_request(
        self, variant: _Variant, requests: AsyncIterator[bytes], context: Context
    ) -> tuple[Any, wire.Claim]:
        try:
            async with asyncio.timeout(self._limits.first_request_s):
                message = await anext(requests)
        except TimeoutError:
            await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "no request came")
        except StopAsyncIteration:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the stream ended before its first request")
        request = self._request(variant, message, None)
        if isinstance(request, Close):
            await _abort(context, grpc.StatusCode[request.code], request.message)
        event, claim = request
        if claim is None:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the first request names no node")
        return event, claim

    def _request(self, variant: _Variant, message: bytes, node_id: str | None) -> tuple[Any, wire.Claim | None] | Close:
        request = variant.request(message)
        if isinstance(request, wire.Malformed):
            return Close("INVALID_ARGUMENT", request.reason)
        event, claim = request
        if variant.n_names(event) > self._limits.n_names_per_request:
            return Close("RESOURCE_EXHAUSTED", f"more than {self._limits.n_names_per_request} names in a request")
        if node_id is not None and claim is not None and claim.node_id != node_id:
            return Close("INVALID_ARGUMENT", "a second node on the same stream")
        return request

    async def _serve(
        self,
        variant: _Variant,
        requests: AsyncIterator[bytes],
        context: Context,
        proxy: Proxy,
        node_id: str,
        first: Any,
    ) -> None:
        try:
            stream = await self._hub.connect(proxy)
        except Crowded as crowded:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(crowded))
        talk = _Talk(self._hub, stream, context)
        reader = asyncio.create_task(self._read(variant, requests, talk, node_id, first))
        writer = asyncio.create_task(_write(variant, talk))
        closing = stream.outbox.closing
        try:
            ends_with: set[asyncio.Future[Any]] = {reader, writer, closing}
            await asyncio.wait(ends_with, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.disconnect(stream)
            reader.cancel()
            is_written = await _is_ended(writer, stream.outbox)
            ends = await asyncio.gather(reader, writer, return_exceptions=True)
        if not is_written:
            raise asyncio.CancelledError  # gRPC sends no status while a message is stuck: the stream is reset
        if closing.done() and not context.done():
            await _abort(context, grpc.StatusCode[closing.result().code], closing.result().message)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, grpc.aio.BaseError):
                raise end

    async def _read(
        self, variant: _Variant, requests: AsyncIterator[bytes], talk: _Talk, node_id: str, first: Any
    ) -> None:
        await variant.receive(first, talk)
        async for message in requests:
            request = self._request(variant, message, node_id)
            if isinstance(request, Close):
                talk.stream.outbox.close(request)
                return
            await variant.receive(request[0], talk)


async def _write(variant: _Variant, talk: _Talk) -> None:
    while (message := await talk.stream.outbox.next()) is not None:
        await variant.respond(message, talk)


async def _is_ended(writer: asyncio.Task[None], outbox: Outbox) -> bool:
    """Ends the writer, and says whether its last message went out."""
    outbox.end()
    done, _ = await asyncio.wait({writer}, timeout=_LAST_WRITE_S)
    writer.cancel()
    return bool(done)


async def _abort(context: Context, code: grpc.StatusCode, message: str) -> NoReturn:
    await context.abort(code, message)
    raise AssertionError("abort returned")
