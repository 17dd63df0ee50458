"""A gRPC relay that reads nothing: bytes from a local socket to a control plane, and back.

It stands between an Envoy and the control plane and keeps no state, so each of the three may restart alone. One message
at a time goes each way, and the next is read only when it is written: a slow side slows the other one down, and nothing
piles up. When the way up is lost, the call below ends with UNAVAILABLE at once, and Envoy connects again by itself, naming
the versions that it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Literal, NoReturn, TypeAlias

import grpc
import grpc.aio
import msgspec

from byway.base.errors import FaultError

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
ChannelOf: TypeAlias = Callable[[], Awaitable[grpc.aio.Channel]]
"""Waits for a connected channel for the next call, a new one after the certificate was renewed; raises `FaultError` where
there cannot be one.

A call keeps its channel alive: to drop a channel is enough, and ends nothing that still runs on it.
"""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
"""For the channel to the control plane: pings find a peer that is gone without a word."""

Recalled: TypeAlias = Callable[[], Awaitable[None]]
"""Waits until the streams that run now should end, since there is a better way up; they come back by it."""

_LAST_WRITE_S: Final = 1.0
_BETTER_WAY: Final = "there is a better way to the control plane now"


class Method(msgspec.Struct, frozen=True):
    """One method that is relayed, as `/package.Service/Method`."""

    path: str
    kind: Literal["stream-stream", "stream-unary", "unary-unary"]


ADS: Final = Method("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", "stream-stream")
STATE_OF_THE_WORLD: Final = Method(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "stream-stream"
)


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


def relay_service(
    methods: tuple[Method, ...],
    channel_of: ChannelOf,
    *,
    recalled: Recalled = _never,
    connect_s: float = 3.0,
    unary_s: float = 30.0,
) -> grpc.GenericRpcHandler[bytes, bytes]:
    """The service to add to a local `grpc.aio` server.

    A call fails when the control plane cannot be reached within `connect_s`, one with a single answer also when that does
    not come within `unary_s`.
    """
    return _Relay(methods, channel_of, recalled, connect_s, unary_s)


class _Relay(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    def __init__(
        self,
        methods: tuple[Method, ...],
        channel_of: ChannelOf,
        recalled: Recalled,
        connect_s: float,
        unary_s: float,
    ) -> None:
        self._recalled = recalled
        self._handlers = {method.path: self._handler(method) for method in methods}
        self._channel_of = channel_of
        self._connect_s = connect_s
        self._unary_s = unary_s

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method, if it is relayed."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def stream_stream(requests: AsyncIterator[bytes], context: Context) -> None:
            await self._stream(method, requests, context)

        async def stream_unary(requests: AsyncIterator[bytes], context: Context) -> bytes:
            return await self._single(method, requests, context)

        async def unary_unary(request: bytes, context: Context) -> bytes:
            return await self._single(method, request, context)

        if method.kind == "stream-stream":
            return grpc.stream_stream_rpc_method_handler(stream_stream)
        if method.kind == "stream-unary":
            return grpc.stream_unary_rpc_method_handler(stream_unary)
        return grpc.unary_unary_rpc_method_handler(unary_unary)

    async def _connected(self, context: Context) -> grpc.aio.Channel:
        try:
            async with asyncio.timeout(self._connect_s):
                channel = await self._channel_of()
        except TimeoutError:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, "the control plane cannot be reached")
        except FaultError as fault:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(fault))
        return channel

    async def _stream(self, method: Method, requests: AsyncIterator[bytes], context: Context) -> None:
        channel = await self._connected(context)
        method_of: Any = channel.stream_stream
        call = method_of(method.path)()
        up = asyncio.create_task(_pump_up(requests, call))
        down = asyncio.create_task(_pump_down(call, context))
        recalled = asyncio.ensure_future(self._recalled())
        is_down = is_recalled = False
        try:
            await asyncio.wait({up, down, recalled}, return_when=asyncio.FIRST_COMPLETED)
            # Either the local side has said all it has to say and may still be answered, or the way up is lost.
            is_answered = up.done() and up.exception() is None
            if is_answered:
                await asyncio.wait({down, recalled}, return_when=asyncio.FIRST_COMPLETED)
            elif not recalled.done():
                await asyncio.wait({down}, timeout=_LAST_WRITE_S)
            is_down, is_recalled = down.done(), recalled.done()
        finally:
            await _ended(up, down, recalled)
            call.cancel()
        if is_recalled and not is_down:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, _BETTER_WAY)
        if not is_down:
            raise asyncio.CancelledError  # gRPC sends no status while a message is stuck: the stream is reset
        code, details = await call.code(), await call.details()
        if code is not grpc.StatusCode.OK and not context.done():
            await _abort(context, code, details or "")

    async def _single(self, method: Method, request: bytes | AsyncIterator[bytes], context: Context) -> bytes:
        channel = await self._connected(context)
        method_of: Any = channel.unary_unary if isinstance(request, bytes) else channel.stream_unary
        # A stream of reports may last as long as its sender.
        timeout = self._unary_s if isinstance(request, bytes) else None
        answer = asyncio.create_task(_answer(method_of(method.path)(request, timeout=timeout)))
        recalled = asyncio.ensure_future(self._recalled())
        try:
            await asyncio.wait(
                {answer} if isinstance(request, bytes) else {answer, recalled}, return_when="FIRST_COMPLETED"
            )
            is_answered = answer.done()
        finally:
            await _ended(answer, recalled)
        if not is_answered:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, _BETTER_WAY)
        try:
            return answer.result()
        except grpc.aio.AioRpcError as error:
            await _abort(context, error.code(), error.details() or "")


async def _answer(call: Any) -> bytes:
    return bytes(await call)


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """Ends what of them still runs."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pump_up(requests: AsyncIterator[bytes], call: Any) -> None:
    async for message in requests:
        await call.write(message)
    await call.done_writing()


async def _pump_down(call: Any, context: Context) -> None:
    async for message in call:
        await context.write(message)


async def _abort(context: Context, code: grpc.StatusCode, message: str) -> NoReturn:
    await context.abort(code, message)
    raise AssertionError("abort returned")
