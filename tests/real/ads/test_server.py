"""Whoever connects is who the certificate says, and whatever is sent ends at worst the sender's own stream."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from byway.ads import state_of_the_world
from byway.ads.catalogue import PLACEHOLDER
from byway.ads.hub import Hub, Pace
from byway.ads.server import SERVER_OPTIONS, Limits, discovery_handlers
from byway.ads.wire import METHOD, SERVICE
from byway.base.clock import SystemClock
from byway.model import names
from byway.testing.fake_proxy import FakeProxy
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.real.ads.certificates import Authority
from tests.real.ads.envoys import ADS, cluster, endpoints, outbound_http, resource, until, virtual_host

AUTHORITY = Authority()
WEB = "spiffe://cluster.local/ns/default/sa/web"
LIMITS = Limits(n_names_per_request=100, n_streams_per_instance=2, first_request_s=0.5)


class Served:
    """A hub behind mutual TLS."""

    def __init__(self) -> None:
        self.catalogue = MemoryCatalogue()
        self.hub = Hub(self.catalogue, SystemClock(), Pace(tick_s=0.05, write_deadline_s=0.5))
        self.port = 0

    def channel(self, *uris: str) -> grpc.aio.Channel:
        narrow = (("grpc.http2.bdp_probe", 0),)  # a window of 64 KB that does not grow
        return grpc.aio.secure_channel(f"localhost:{self.port}", AUTHORITY.client(*uris), options=narrow)

    async def is_in_sync(self) -> bool:
        return any(proxy.is_in_sync for proxy in self.hub.snapshot())

    async def has_none(self) -> bool:
        return self.hub.n_connected == 0

    async def has_one(self) -> bool:
        return self.hub.n_connected == 1

    async def status(
        self, *messages: bytes, uris: tuple[str, ...] = (WEB,), method: str = METHOD
    ) -> tuple[grpc.StatusCode, str]:
        """How the server ends a stream of these messages."""
        async with self.channel(*uris) as channel:
            call = open_stream(channel, method)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                for message in messages:
                    await call.write(message)
            async with asyncio.timeout(5):
                with contextlib.suppress(grpc.aio.AioRpcError):
                    async for _ in call:  # the status comes after all messages
                        pass
                return await call.code(), await call.details()


def open_stream(channel: grpc.aio.Channel, name: str = METHOD) -> Any:
    method: Any = channel.stream_stream
    return method(f"/{SERVICE}/{name}")()


def request(node_id: str = "web.default", **fields: Any) -> bytes:
    message = discovery_pb2.DeltaDiscoveryRequest(**{"type_url": names.TYPE_CLUSTER, **fields})
    message.node.id = node_id
    return bytes(message.SerializeToString())


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    run = asyncio.create_task(served.hub.run())
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers(discovery_handlers(served.hub, limits=LIMITS))
    served.port = server.add_secure_port("localhost:0", AUTHORITY.server())
    await server.start()
    yield served
    await server.stop(None)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_proxy_with_the_right_certificate_is_served(served: Served) -> None:
    """The fake proxy behaves over mutual TLS as Envoy does over a socket."""
    out = resource(names.TYPE_ROUTE, "out", {"name": "out", "vhds": {"config_source": ADS}})
    links = (cluster("links"), endpoints("links", 80), virtual_host("out/links", ("links",), "links"))
    served.catalogue.put(outbound_http(1), out, *links)
    served.catalogue.set_roots(listeners=("http",))
    async with served.channel(WEB) as channel, FakeProxy(channel, "web.default") as proxy:
        await proxy.until(lambda envoy: PLACEHOLDER in envoy.of(names.TYPE_VIRTUAL_HOST))
        proxy.ask_virtual_host("out/links")
        await proxy.until(lambda envoy: envoy.virtual_host("out/links") is not None)
        assert set(proxy.envoy.of(names.TYPE_CLUSTER)) == {"links"}
        proxy.ask_virtual_host("out/nobody")
        await proxy.until(lambda envoy: "out/nobody" in envoy.answered)
        n_sent = served.hub.n_sent
        await proxy.disconnect()
        proxy.connect()
        served.catalogue.put(endpoints("links", 81))
        await proxy.until(lambda envoy: envoy.of(names.TYPE_ENDPOINTS)["links"] == endpoints("links", 81).any_bytes)
        assert served.hub.n_sent == n_sent + 1


@pytest.mark.parametrize("uris", [(), (WEB, f"{WEB}2"), ("https://web",)])
async def test_a_certificate_without_exactly_one_spiffe_id_is_nobody(served: Served, uris: tuple[str, ...]) -> None:
    """None, two, or one of another scheme."""
    code, _ = await served.status(request(), uris=uris)
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_without_a_client_certificate_nothing_is_served(served: Served) -> None:
    """The handshake fails, so not even the first message is read."""
    credentials = grpc.ssl_channel_credentials(AUTHORITY.root)
    async with grpc.aio.secure_channel(f"localhost:{served.port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await open_stream(channel).read()
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (discovery_pb2.DiscoveryRequest(type_url=names.TYPE_CLUSTER), grpc.StatusCode.INVALID_ARGUMENT),
        (discovery_pb2.DiscoveryRequest(node={"id": "web.default"}), grpc.StatusCode.UNIMPLEMENTED),
        (discovery_pb2.DiscoveryRequest(resource_names=["a"] * 101), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_the_state_of_the_world_is_for_grpc_clients(
    served: Served, message: discovery_pb2.DiscoveryRequest, code: grpc.StatusCode
) -> None:
    """A proxy has no use for it, and no request is read more kindly for being of the other variant."""
    found, _ = await served.status(message.SerializeToString(), method=state_of_the_world.METHOD)
    assert found is code


async def test_a_node_that_is_not_the_certificates_is_refused(served: Served) -> None:
    """What a peer claims to be counts for nothing."""
    code, details = await served.status(request("billing.default"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "may not speak for" in details


async def test_a_second_node_on_the_stream_ends_it(served: Served) -> None:
    """The identity of a stream is settled by its first request."""
    code, details = await served.status(request(), request("other.default"))
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "a second node on the same stream")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (discovery_pb2.DeltaDiscoveryRequest(type_url="t").SerializeToString(), grpc.StatusCode.INVALID_ARGUMENT),
        (request(type_url="type.googleapis.com/nonsense"), grpc.StatusCode.INVALID_ARGUMENT),
        (request(resource_names_subscribe=[str(n) for n in range(101)]), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (request(initial_resource_versions={str(n): "" for n in range(101)}), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"x" * (4 * 1024 * 1024 + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["empty", "garbage", "no node", "unknown type", "too many names", "too many versions", "4 MB and one byte"],
)
async def test_bad_input_becomes_a_status(served: Served, message: bytes, code: grpc.StatusCode) -> None:
    """And nothing stays behind."""
    assert (await served.status(message))[0] is code
    assert served.hub.n_connected == 0


async def test_random_bytes_never_break_the_server(served: Served) -> None:
    """After a good first request, so that they reach a session."""
    chance = random.Random(7)
    good = request(type_url=names.TYPE_LISTENER, resource_names_subscribe=["*", "a"], response_nonce="1")
    for _ in range(50):
        broken = bytearray(good)
        broken[chance.randrange(len(broken))] = chance.randrange(256)
        async with served.channel(WEB) as channel:
            call = open_stream(channel)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(request())
                await call.write(bytes(broken))
                await call.read()
            call.cancel()
    async with served.channel(WEB) as channel, FakeProxy(channel, "web.default") as proxy:
        await until(served.is_in_sync)
        await proxy.disconnect()


async def test_a_stream_without_a_first_request_is_ended(served: Served) -> None:
    """Half-open streams cost nothing for long."""
    code, _ = await served.status()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_streams_of_one_instance_are_counted(served: Served) -> None:
    """The third one is refused, and served again once another has gone."""
    async with served.channel(WEB) as channel:
        async with FakeProxy(channel, "web.default") as first, FakeProxy(channel, "web.default") as second:
            for proxy in (first, second):
                await proxy.until(lambda envoy: names.TYPE_LISTENER in envoy.bodies)
            assert (await served.status(request()))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        await until(served.has_none)
        async with FakeProxy(channel, "web.default") as third:
            await third.until(lambda envoy: names.TYPE_LISTENER in envoy.bodies)


async def test_a_peer_that_does_not_read_is_cut_off_and_another_is_served(served: Served) -> None:
    """More is sent than fits into the windows of the connection."""
    big = tuple(cluster(f"c{n}", alt_stat_name="x" * 200_000) for n in range(20))
    served.catalogue.put(*big)
    served.catalogue.set_roots(clusters=tuple(c.name for c in big))
    async with served.channel(WEB) as slow, served.channel(WEB) as good:
        call = open_stream(slow)
        await call.write(request())
        async with FakeProxy(good, "web.default") as proxy:
            await proxy.until(lambda envoy: len(envoy.warming) == 20)
            assert served.hub.n_connected == 2
            await until(served.has_one)
            assert not proxy.has_ended
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
