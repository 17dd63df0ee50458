"""The relay carries bytes both ways, and neither hides nor outlives the loss of one side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from byway.ads.relay import ADS, CHANNEL_OPTIONS, Method, relay_service
from byway.base.errors import FaultError
from tests.real.ads.envoys import ControlPlane, Sidecar, application, until
from tests.real.ads.test_changes import load

REPORT = Method("/test.Test/Report", "stream-unary")
ASK = Method("/test.Test/Ask", "unary-unary")
ECHO = Method("/test.Test/Echo", "stream-stream")


class Upstream:
    """A server of three methods; what it does with a stream can be replaced."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.n_read = 0
        self.is_reading = asyncio.Event()
        self.is_reading.set()

    async def start(self) -> None:
        self._server = grpc.aio.server()
        handlers = {
            "Echo": grpc.stream_stream_rpc_method_handler(self._echo),
            "Report": grpc.stream_unary_rpc_method_handler(self._report),
            "Ask": grpc.unary_unary_rpc_method_handler(self._ask),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _echo(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for message in requests:
            self.n_read += 1
            if message == b"fail":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
            await self.is_reading.wait()
            yield message

    async def _report(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"+".join([message async for message in requests])

    async def _ask(self, request: bytes, context: Any) -> bytes:
        if request == b"hang":
            await asyncio.get_running_loop().create_future()
        return request[::-1]


class Relayed:
    """A relay between a socket and an upstream."""

    def __init__(self, directory: Path) -> None:
        self.upstream = Upstream(directory / "up.sock")
        self.socket = directory / "relay.sock"
        self.channel_of: Callable[[], Awaitable[grpc.aio.Channel]] = self._channel
        self.recall: Any = asyncio.Event()
        self._current: grpc.aio.Channel | None = None

    async def _channel(self) -> grpc.aio.Channel:
        if self._current is None:
            self._current = grpc.aio.insecure_channel(f"unix:{self.upstream.socket}", options=CHANNEL_OPTIONS)
        await self._current.channel_ready()
        return self._current

    async def start(self) -> None:
        await self.upstream.start()
        self._server = grpc.aio.server()
        service = relay_service(
            (ECHO, REPORT, ASK), lambda: self.channel_of(), recalled=self.recall.wait, connect_s=0.5, unary_s=0.5
        )
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()
        self.local: Any = grpc.aio.insecure_channel(f"unix:{self.socket}")

    async def stop(self) -> None:
        await self.local.close()
        await self._server.stop(None)
        await self.upstream.stop()


@pytest.fixture
async def relayed(tmp_path: Path) -> AsyncIterator[Relayed]:
    relayed = Relayed(tmp_path)
    await relayed.start()
    yield relayed
    await relayed.stop()


async def test_a_stream_is_relayed_both_ways(relayed: Relayed) -> None:
    """Answers come while the stream is open, and after its end."""
    call = relayed.local.stream_stream(ECHO.path)()
    for message in (b"a", b"", b"\x00\xff" * 100_000):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert not isinstance(await call.read(), bytes)
    assert await call.code() is grpc.StatusCode.OK


async def test_single_answers_are_relayed(relayed: Relayed) -> None:
    """A report of many messages, and a question."""

    async def messages() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    assert await relayed.local.stream_unary(REPORT.path)(messages()) == b"a+b"
    assert await relayed.local.unary_unary(ASK.path)(b"abc") == b"cba"


async def test_a_method_that_is_not_relayed_is_unknown(relayed: Relayed) -> None:
    """Only what is named passes."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await relayed.local.unary_unary("/test.Test/Other")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_status_of_the_control_plane_is_passed_on(relayed: Relayed) -> None:
    """With its words."""
    call = relayed.local.stream_stream(ECHO.path)()
    await call.write(b"fail")
    assert (await call.code(), await call.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


async def test_the_loss_of_the_control_plane_ends_the_stream_at_once(relayed: Relayed) -> None:
    """Envoy then connects again, and the relay finds the new server by itself."""
    call = relayed.local.stream_stream(ECHO.path)()
    await call.write(b"a")
    assert await call.read() == b"a"
    await relayed.upstream.stop()
    async with asyncio.timeout(1):
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    await relayed.upstream.start()

    async def is_back() -> bool:
        again = relayed.local.stream_stream(ECHO.path)()
        try:
            await again.write(b"b")
            return bool(await again.read() == b"b")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False

    await until(is_back, timeout_s=5)


async def test_what_cannot_be_reached_fails_within_a_bound(relayed: Relayed) -> None:
    """Streams and questions alike."""
    await relayed.upstream.stop()
    async with asyncio.timeout(2):
        assert await relayed.local.stream_stream(ECHO.path)().code() is grpc.StatusCode.UNAVAILABLE
    async with asyncio.timeout(2):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await relayed.local.unary_unary(ASK.path)(b"abc")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_question_without_an_answer_fails_within_a_bound(relayed: Relayed) -> None:
    """The upstream is there, but says nothing."""
    async with asyncio.timeout(2):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await relayed.local.unary_unary(ASK.path)(b"hang")
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_no_way_up_yet_is_unavailable(relayed: Relayed) -> None:
    """As long as there is no certificate, for example."""

    async def no_channel() -> grpc.aio.Channel:
        raise FaultError("no certificate yet")

    relayed.channel_of = no_channel
    call = relayed.local.stream_stream(ECHO.path)()
    assert (await call.code(), await call.details()) == (grpc.StatusCode.UNAVAILABLE, "no certificate yet")


async def test_an_upstream_that_does_not_read_holds_the_writer_back(relayed: Relayed) -> None:
    """The relay keeps no more than the windows of two connections hold."""
    relayed.upstream.is_reading.clear()
    call = relayed.local.stream_stream(ECHO.path)()
    n_written = 0
    try:
        async with asyncio.timeout(1):
            while True:
                await call.write(b"x" * 1_000_000)
                n_written += 1
    except TimeoutError:
        pass  # held back, as it should be
    assert n_written < 40
    call.cancel()


async def test_streams_that_are_recalled_end_at_once_and_questions_are_answered(relayed: Relayed) -> None:
    """Whoever has such a stream comes back, and then by the better way."""
    call = relayed.local.stream_stream(ECHO.path)()
    await call.write(b"a")
    assert await call.read() == b"a"

    async def messages() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.get_running_loop().create_future()

    report = relayed.local.stream_unary(REPORT.path)(messages())
    await report.wait_for_connection()
    relayed.recall.set()
    async with asyncio.timeout(2):
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await report.code() is grpc.StatusCode.UNAVAILABLE
        assert await relayed.local.unary_unary(ASK.path)(b"abc") == b"cba"


async def test_the_local_side_going_away_ends_the_call_upstream(relayed: Relayed) -> None:
    """No stream stays open on the control plane for an Envoy that is gone."""
    call = relayed.local.stream_stream(ECHO.path)()
    await call.write(b"a")
    assert await call.read() == b"a"
    assert relayed.upstream.n_read == 1
    call.cancel()
    await relayed.local.close()
    relayed.local = grpc.aio.insecure_channel(f"unix:{relayed.socket}")
    async with asyncio.timeout(2):
        await relayed.upstream.stop()  # waits for no call: none is left that would have to be cut
    await relayed.upstream.start()


@pytest.mark.real
async def test_envoy_outlives_the_control_plane_behind_a_relay(tmp_path: Path, app: int) -> None:
    """Under load: nothing fails, and nothing is sent again."""
    control_plane = ControlPlane(tmp_path / "up.sock")
    await control_plane.start()
    channel = grpc.aio.insecure_channel(f"unix:{tmp_path / 'up.sock'}", options=CHANNEL_OPTIONS)
    relay = grpc.aio.server()

    async def connected() -> grpc.aio.Channel:
        await channel.channel_ready()
        return channel

    relay.add_generic_rpc_handlers((relay_service((ADS,), connected),))
    relay.add_insecure_port(f"unix:{tmp_path / 'ads.sock'}")
    await relay.start()
    sidecar = Sidecar(tmp_path, tmp_path / "ads.sock")
    await sidecar.start()

    async def is_in_sync() -> bool:
        return control_plane.hub.n_connected == 1 and control_plane.proxy().is_in_sync

    try:
        await until(is_in_sync)
        control_plane.serve("links", app)
        url = f"http://127.0.0.1:{control_plane.http_port}"
        async with httpx.AsyncClient(base_url=url, timeout=10) as client, load(client, "links") as answers:
            await control_plane.stop()
            await control_plane.start()
            await until(is_in_sync)
            assert (await client.get("/", headers={"host": "links"})).text == "one"
            n_sent = control_plane.hub.n_sent
            await control_plane.stop()
            await control_plane.start()
            await until(is_in_sync)
            assert control_plane.hub.n_sent <= n_sent
        assert set(answers) == {"one"}
    finally:
        await sidecar.stop()
        await relay.stop(None)
        await channel.close(None)
        await control_plane.stop()


__all__ = ["application"]
