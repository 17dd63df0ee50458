"""The gRPC face of the hub: delta ADS only, for peers that present a certificate.

Who a peer is, is read from the verified client certificate and from nothing else; what it claims to be (`node`) is the
catalogue's to admit. Whatever a peer sends, the worst that happens to anyone is that its own stream ends with a status.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import grpc.aio
import msgspec
from cryptography import x509

from byway.ads import wire
from byway.ads.action import Close
from byway.ads.catalogue import Proxy, Refusal
from byway.ads.event import Requested
from byway.ads.hub import Hub, Stream
from byway.ads.outbox import Outbox

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
PeerOf: TypeAlias = Callable[[Context], str | None]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one peer may use."""

    n_names_per_request: int = 4_096
    n_streams_per_instance: int = 8
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
    handler = grpc.stream_stream_rpc_method_handler(discovery.stream)
    return (grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: handler}),)


_Payer: TypeAlias = str | tuple[str, str]


class _Discovery:
    def __init__(self, hub: Hub, limits: Limits, peer_of: PeerOf) -> None:
        self._hub = hub
        self._limits = limits
        self._peer_of = peer_of
        self._n_streams: Counter[_Payer] = Counter()

    async def stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One call of DeltaAggregatedResources."""
        peer = self._peer_of(context)
        if peer is None:
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED, "a client certificate with one SPIFFE id is needed")
        first, claim = await self._first_request(requests, context)
        admitted = self._hub.catalogue.admit(peer, claim.node_id, claim.metadata)
        if isinstance(admitted, Refusal):
            await _abort(context, grpc.StatusCode.PERMISSION_DENIED, admitted.reason)
        keys: tuple[_Payer, _Payer] = (peer, (peer, admitted.instance))
        most = (self._limits.n_streams_per_identity, self._limits.n_streams_per_instance)
        if any(self._n_streams[key] >= n for key, n in zip(keys, most, strict=True)):
            await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams of one peer")
        self._n_streams.update(keys)
        try:
            await self._serve(requests, context, admitted, claim.node_id, first)
        finally:
            self._n_streams.subtract(keys)
            for key in keys:
                if not self._n_streams[key]:
                    del self._n_streams[key]

    async def _first_request(self, requests: AsyncIterator[bytes], context: Context) -> tuple[Requested, wire.Claim]:
        try:
            async with asyncio.timeout(self._limits.first_request_s):
                message = await anext(requests)
        except TimeoutError:
            await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "no request came")
        except StopAsyncIteration:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the stream ended before its first request")
        request = self._request(message, None)
        if isinstance(request, Close):
            await _abort(context, grpc.StatusCode[request.code], request.message)
        event, claim = request
        if claim is None:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the first request names no node")
        return event, claim

    def _request(self, message: bytes, node_id: str | None) -> tuple[Requested, wire.Claim | None] | Close:
        request = wire.request(message)
        if isinstance(request, wire.Malformed):
            return Close("INVALID_ARGUMENT", request.reason)
        event, claim = request
        n_names = len(event.subscribe) + len(event.unsubscribe)
        if max(n_names, len(event.initial_versions)) > self._limits.n_names_per_request:
            return Close("RESOURCE_EXHAUSTED", f"more than {self._limits.n_names_per_request} names in a request")
        if node_id is not None and claim is not None and claim.node_id != node_id:
            return Close("INVALID_ARGUMENT", "a second node on the same stream")
        return request

    async def _serve(
        self, requests: AsyncIterator[bytes], context: Context, proxy: Proxy, node_id: str, first: Requested
    ) -> None:
        stream = await self._hub.connect(proxy)
        reader = asyncio.create_task(self._read(requests, stream, node_id, first))
        writer = asyncio.create_task(_write(context, stream.outbox))
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

    async def _read(self, requests: AsyncIterator[bytes], stream: Stream, node_id: str, first: Requested) -> None:
        await self._hub.receive(stream, first)
        async for message in requests:
            request = self._request(message, node_id)
            if isinstance(request, Close):
                stream.outbox.close(request)
                return
            await self._hub.receive(stream, request[0])


async def _write(context: Context, outbox: Outbox) -> None:
    while (message := await outbox.next()) is not None:
        await context.write(message)


async def _is_ended(writer: asyncio.Task[None], outbox: Outbox) -> bool:
    """Ends the writer, and says whether its last message went out."""
    outbox.end()
    done, _ = await asyncio.wait({writer}, timeout=_LAST_WRITE_S)
    writer.cancel()
    return bool(done)


async def _abort(context: Context, code: grpc.StatusCode, message: str) -> NoReturn:
    await context.abort(code, message)
    raise AssertionError("abort returned")
