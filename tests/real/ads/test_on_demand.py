"""A sidecar gets what its application calls, when it calls it."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from byway.model import names
from tests.real.ads.envoys import ControlPlane, Sidecar, static_cluster

pytestmark = pytest.mark.real


async def status(client: httpx.AsyncClient, host: str) -> int:
    return (await client.get("/", headers={"host": host})).status_code


async def test_a_fresh_sidecar_holds_no_cluster_of_any_service(control_plane: ControlPlane, sidecar: Sidecar) -> None:
    """Nothing was called, so nothing was sent."""
    control_plane.serve("links", 1)
    assert await sidecar.clusters() == set()


async def test_the_first_call_is_served_and_the_second_asks_nothing(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """The first request waits for its configuration; later ones find it there, under every spelling."""
    control_plane.serve("links", app)
    assert await status(client, "links") == 200
    n_sent = control_plane.hub.n_sent
    assert [await status(client, host) for host in ("links", "links.default")] == [200, 200]
    assert control_plane.hub.n_sent == n_sent
    assert await sidecar.clusters() == {"outbound|links"}


async def test_twenty_first_calls_at_once_are_all_served(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """To five services, each called four times at once and under both of its names."""
    for n in range(5):
        control_plane.serve(f"s{n}", app)
    hosts = [f"s{n}{suffix}" for n in range(5) for suffix in ("", ".default", "", ".default")]
    assert await asyncio.gather(*(status(client, host) for host in hosts)) == [200] * 20


async def test_an_unknown_host_is_404_at_once_and_works_when_it_is_created(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Envoy asks for a name but once, so the answer must be corrected without being asked."""
    started = time.monotonic()
    assert await status(client, "later") == 404
    assert time.monotonic() - started < 1
    result = await control_plane.publish(control_plane.serve("later", app))
    assert (result.n_affected, result.n_acked) == (1, 1)
    assert await status(client, "later") == 200


async def test_a_deleted_service_is_404_and_comes_back_when_it_is_created_again(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """The subscription outlives the service."""
    control_plane.serve("links", app)
    assert await status(client, "links") == 200
    for _ in range(2):
        await control_plane.publish(control_plane.drop("links"))
        assert await status(client, "links") == 404
        await control_plane.publish(control_plane.serve("links", app))
        assert await status(client, "links") == 200


async def test_a_cluster_goes_once_nothing_requires_it(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Deleting the service takes its cluster out of the sidecar, after its routes."""
    control_plane.serve("links", app)
    assert await status(client, "links") == 200
    await control_plane.publish(control_plane.drop("links"))
    await control_plane.publish(control_plane.serve("other", app))
    assert await status(client, "other") == 200
    assert await sidecar.clusters() == {"outbound|other"}


async def spoken(address: str, port: int) -> bytes:
    """What a TCP connection says, nothing if it is closed."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"hello\r\n\r\n")
    try:
        async with asyncio.timeout(8):
            return await reader.read(1000)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_twenty_first_tcp_connections_at_once_are_all_served(
    control_plane: ControlPlane, sidecar: Sidecar, app: int
) -> None:
    """To ten addresses, two connections each; a cluster on demand for every address."""
    port = control_plane.tcp_port
    addresses = [f"127.0.0.{n}" for n in range(10, 20)]
    control_plane.catalogue.put(*(static_cluster(f"tcp|{a}:{port}", app) for a in addresses))
    answers = await asyncio.gather(*(spoken(address, port) for address in addresses * 2))
    assert all(b"one" in answer for answer in answers)


async def test_a_deleted_tcp_service_closes_at_once_and_comes_back(
    control_plane: ControlPlane, sidecar: Sidecar, app: int
) -> None:
    """Its cluster is replaced by one without endpoints; a removed one would make every connection wait."""
    port = control_plane.tcp_port
    name = f"tcp|127.0.0.9:{port}"
    control_plane.catalogue.put(static_cluster(name, app))
    assert b"one" in await spoken("127.0.0.9", port)
    await control_plane.publish(control_plane.catalogue.put(static_cluster(name)))
    started = time.monotonic()
    assert await spoken("127.0.0.9", port) == b""
    assert time.monotonic() - started < 1
    await control_plane.publish(control_plane.catalogue.put(static_cluster(name, app)))
    assert b"one" in await spoken("127.0.0.9", port)
    assert names.TYPE_CLUSTER in control_plane.proxy().held
