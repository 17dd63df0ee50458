"""The way to the control plane follows the certificate, goes on to the next where one is gone, and comes home again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import pytest

from byway.agent.credentials import Credential
from byway.agent.uplink import NoCredentialYet, Uplink, addresses_for
from byway.identity.certificate import CertificateFacts
from byway.identity.spiffe import workload_id

ECHO = "/test.Echo/Stream"


class Channel:
    """A channel that only remembers whether it was closed."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.n_closed = 0

    async def close(self, grace: float | None) -> None:
        self.n_closed += 1


def opened(address: str, credential: Credential) -> Any:
    return Channel(credential.facts.serial)


def plain(address: str, credential: Credential) -> Any:
    """A real channel, in the clear."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def credential(serial: str) -> Credential:
    identity = workload_id("cluster.local", "default", "web")
    day = datetime(2026, 1, 1, tzinfo=UTC)
    facts = CertificateFacts(identity=identity, not_before=day, not_after=day, serial=serial, issuer="")
    return Credential(identity=identity, key_pem=b"", chain_pem=b"", bundle_pem=b"", facts=facts)


class Servers:
    """Control planes that echo."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._servers: dict[str, grpc.aio.Server] = {}

    async def start(self, address: str = "127.0.0.1:0") -> str:
        async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for message in requests:
                yield message

        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler = {"Stream": grpc.stream_stream_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handler),))
        found = f"127.0.0.1:{server.add_insecure_port(address)}"
        await server.start()
        self._servers[found] = server
        return found

    async def stop(self, address: str) -> None:
        await self._servers.pop(address).stop(None)

    async def close(self) -> None:
        for address in tuple(self._servers):
            await self.stop(address)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    found = Servers()
    yield found
    await found.close()


async def call(channel: Any) -> Any:
    """A stream that is answered."""
    stream = channel.stream_stream(ECHO)()
    await stream.write(b"a")
    assert await stream.read() == b"a"
    return stream


async def test_calls_share_a_channel_until_the_certificate_changes() -> None:
    """A rotation means a new channel for the next call; the old one is not closed under the calls that run on it."""
    held = [credential("1")]
    uplink = Uplink(("here:1",), lambda: held[-1], opened)
    channels: list[Any] = [uplink.channel(), uplink.channel()]
    assert channels[0] is channels[1]
    held.append(credential("2"))
    channels.append(uplink.channel())
    assert [c.serial for c in channels] == ["1", "1", "2"]
    await uplink.close()
    assert [c.n_closed for c in channels] == [0, 0, 1]


async def test_without_a_certificate_nothing_is_asked() -> None:
    """The error says what is missing; the wait for the first one ends when it comes."""
    uplink = Uplink(("here:1",), lambda: None, opened)
    with pytest.raises(NoCredentialYet, match="certificate authority"):
        await uplink.connected()
    uplink.credential_arrived()
    await uplink.issued()


async def test_a_call_goes_to_the_next_control_plane_where_one_is_gone(servers: Servers) -> None:
    """And stays there, though the first comes back, until it is brought home."""
    first, second = await servers.start(), await servers.start()
    uplink = Uplink((first, second), lambda: credential("1"), plain)
    async with asyncio.timeout(10):
        await call(await uplink.connected())
        assert uplink.address == first
        await servers.stop(first)
        stream = await call(await uplink.connected())
        recalled = asyncio.create_task(uplink.recalled())
        assert uplink.address == second
        assert not await uplink.go_home(), "home is not back"
        await stream.write(b"b")
        assert await stream.read() == b"b", "to look for it disturbs no call"
        await servers.start(first)
        await call(await uplink.connected())
        assert uplink.address == second
        assert await uplink.go_home()
        await recalled
        assert uplink.address == first
        await call(await uplink.connected())
        assert not await uplink.go_home(), "it is at home"
    await uplink.close()


async def test_several_calls_at_once_do_not_skip_a_control_plane(servers: Servers) -> None:
    """All find the first one gone, and all end at the second."""
    third = await servers.start()
    second = await servers.start()
    gone = await servers.start()
    await servers.stop(gone)
    uplink = Uplink((gone, second, third), lambda: credential("1"), plain)
    async with asyncio.timeout(10):
        channels = await asyncio.gather(*(uplink.connected() for _ in range(5)))
    assert uplink.address == second
    assert len(set(map(id, channels))) == 1
    await uplink.close()


async def test_while_none_answers_a_call_waits_and_then_goes_to_whoever_is_back_first(servers: Servers) -> None:
    first, second = await servers.start(), await servers.start()
    await servers.stop(first)
    await servers.stop(second)
    uplink = Uplink((first, second), lambda: credential("1"), plain)
    async with asyncio.timeout(10):
        waiting = asyncio.create_task(uplink.connected())
        await asyncio.sleep(0)
        await servers.start(second)
        await call(await waiting)
        assert uplink.address == second
    await uplink.close()


def test_agents_spread_out_and_each_keeps_its_order() -> None:
    """Of three control planes each is home to about a third; where one is gone, its agents spread over the others."""
    text = "10.0.0.1:15012, 10.0.0.2:15012,10.0.0.3:15012"
    orders = [addresses_for(f"node-{number}", text) for number in range(300)]
    assert orders == [addresses_for(f"node-{number}", text) for number in range(300)]
    homes = [order[0] for order in orders]
    assert all(70 <= homes.count(address) <= 130 for address in set(homes))
    next_homes = [order[1] for order in orders if order[0] == homes[0]]
    assert len(set(next_homes)) == 2
