"""Passing calls on, message by message as bytes: what Envoy asks of its agent and only the control plane can answer.

Nothing is decoded or kept. Each direction waits for the other side to take a message before it reads the next, so a slow reader slows the
writer down instead of filling memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio

from byway.agent.uplink import NoCredentialYet, Uplink

_UNARY_TIMEOUT_S: Final = 10.0

Context = Any  # grpc.aio.ServicerContext, whose stubs lack the reading and writing half


class Forwarder:
    """Passes the calls of one workload to the control plane."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink

    def stream_stream(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler that passes a two-way stream on."""

        async def forward(_: AsyncIterator[bytes], context: Context) -> None:
            async with self._call(context) as channel:
                call = channel.stream_stream(path)()
                await _both_ways(call, context)

        return grpc.stream_stream_rpc_method_handler(forward)

    def stream_unary(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler that passes a one-way stream on."""

        async def forward(requests: AsyncIterator[bytes], context: Context) -> bytes:
            async with self._call(context) as channel:
                call = channel.stream_unary(path)(requests)
                return bytes(await call)
            raise AssertionError("a refused call raises")

        return grpc.stream_unary_rpc_method_handler(forward)

    def unary_unary(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A handler that passes a single request on."""

        async def forward(request: bytes, context: Context) -> bytes:
            async with self._call(context) as channel:
                return bytes(await channel.unary_unary(path)(request, timeout=_UNARY_TIMEOUT_S))
            raise AssertionError("a refused call raises")

        return grpc.unary_unary_rpc_method_handler(forward)

    @contextlib.asynccontextmanager
    async def _call(self, context: Context) -> AsyncIterator[Any]:
        """A channel; what the control plane refuses or the network breaks is told to Envoy under the same code."""
        try:
            async with self._uplink.channel() as channel:
                yield channel
        except NoCredentialYet as fault:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(fault))
        except grpc.aio.AioRpcError as fault:
            await context.abort(fault.code(), fault.details() or "")


async def _both_ways(call: Any, context: Context) -> None:
    async def upwards() -> None:
        while isinstance(message := await context.read(), bytes):
            await call.write(message)
        await call.done_writing()

    async def downwards() -> None:
        async for message in call:
            await context.write(message)

    up, down = asyncio.create_task(upwards()), asyncio.create_task(downwards())
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if up in done and up.exception() is None:
            await down  # Envoy has nothing more to say: the answers still come
        if down.done():
            down.result()
        up_fault = up.exception() if up.done() else None
        if up_fault is not None and not isinstance(up_fault, asyncio.InvalidStateError | grpc.aio.AioRpcError):
            raise up_fault
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            await context.abort(code, await call.details() or "")
    finally:
        call.cancel()
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
