"""The control plane goes and comes back; the sidecar serves meanwhile, and gets only what is new."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from byway.ads.action import Entry
from byway.ads.catalogue import PLACEHOLDER
from byway.model import names
from tests.real.ads.envoys import ControlPlane, Sidecar, cluster, until
from tests.real.ads.script import Script
from tests.real.ads.test_changes import load

pytestmark = pytest.mark.real


async def reconnected(control_plane: ControlPlane) -> None:
    async def is_back() -> bool:
        return control_plane.hub.n_connected == 1 and control_plane.proxy().is_in_sync

    await until(is_back)


async def test_a_restart_with_nothing_changed_sends_nothing(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Known, unknown and deleted hosts included; and no call fails while it is away."""
    control_plane.serve("links", app)
    control_plane.serve("gone", app)
    for host, status in (("links", 200), ("links.default", 200), ("gone", 200), ("nobody", 404)):
        assert (await client.get("/", headers={"host": host})).status_code == status
    await control_plane.publish(control_plane.drop("gone"))
    async with load(client, "links") as answers:
        await control_plane.stop()
        assert (await client.get("/", headers={"host": "links.default"})).text == "one"
        await control_plane.start()
        await reconnected(control_plane)
        assert control_plane.hub.n_sent == 0
    assert set(answers) == {"one"}
    assert (await client.get("/", headers={"host": "gone"})).status_code == 404
    await control_plane.publish(control_plane.serve("gone", app))
    assert (await client.get("/", headers={"host": "gone"})).text == "one"


async def test_what_changed_meanwhile_is_sent_and_nothing_else(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int, other_app: int
) -> None:
    """One service moved, one deleted, one untouched."""
    for service in ("moved", "deleted", "same"):
        control_plane.serve(service, app)
        assert (await client.get("/", headers={"host": service})).text == "one"
    await control_plane.stop()
    control_plane.serve("moved", other_app)
    control_plane.drop("deleted")
    await control_plane.start()

    async def is_told() -> bool:
        """The endpoints of `moved`; a removal and a 404 for `deleted`, whose cluster stays for a grace."""
        proxies = control_plane.hub.snapshot()
        sent = [(sum(p.n_sent.values()), sum(p.n_removed.values())) for p in proxies if p.is_in_sync]
        return sent == [(2, 1)]

    await until(is_told)
    answers = [await client.get("/", headers={"host": host}) for host in ("moved", "deleted", "same")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "two"), (404, ""), (200, "one")]
    assert await is_told()


async def test_a_host_called_while_the_control_plane_is_away_is_served_when_it_is_back(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Envoy holds the request, and asks on the next stream."""
    control_plane.serve("links", app)
    await control_plane.stop()
    call = asyncio.create_task(client.get("/", headers={"host": "links"}))
    await control_plane.start()
    assert (await call).text == "one"


async def test_a_stream_that_breaks_between_a_cluster_and_its_endpoints_delays_nothing(
    tmp_path: Path, app: int
) -> None:
    """Envoy says nothing of clusters until it has the endpoints, for which it would wait 15 s; no call fails meanwhile."""
    control_plane = ControlPlane(tmp_path / "ads.sock")
    control_plane.serve("links", app)
    control_plane.serve("new", app)
    sidecar = Sidecar(tmp_path, tmp_path / "ads.sock")
    url = f"http://127.0.0.1:{control_plane.http_port}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        try:
            async with Script(tmp_path / "ads.sock").served() as script:
                await sidecar.start()
                await _break_between(script, control_plane, client)
            control_plane.catalogue.put(cluster("outbound|links", connect_timeout="2s"))
            async with load(client, "links") as answers:
                began = time.monotonic()
                await control_plane.start()
                assert (await client.get("/", headers={"host": "new"})).text == "one"
                await reconnected(control_plane)
                assert time.monotonic() - began < 5
            assert set(answers) == {"one"}
        finally:
            await sidecar.stop()
            await control_plane.stop()


async def _break_between(script: Script, control_plane: ControlPlane, client: httpx.AsyncClient) -> None:
    """Everything as the control plane would send it, up to the point where the stream breaks."""
    resources = control_plane.catalogue.resources
    await script.stream("it starts")
    await script.answers("clusters", names.TYPE_CLUSTER)
    await script.sends("listener", resources[names.TYPE_LISTENER, "http"])
    await script.sends("routes", resources[names.TYPE_ROUTE, "out"])
    place = resources[names.TYPE_VIRTUAL_HOST, PLACEHOLDER]
    await script.answers("placeholder", place.type_url, Entry(place.name, place.version, place.any_bytes))
    call = asyncio.create_task(client.get("/", headers={"host": "links"}))
    await script.called("a call", "out/links")
    await script.sends("its cluster", resources[names.TYPE_CLUSTER, "outbound|links"])
    held = resources[names.TYPE_ENDPOINTS, "outbound|links"]
    await script.answers("its endpoints", held.type_url, Entry(held.name, held.version, held.any_bytes))
    await script.sends_host("its host", resources[names.TYPE_VIRTUAL_HOST, "out/links.default"], "out/links")
    assert (await call).text == "one"
    await script.sends("the cluster anew", cluster("outbound|links", connect_timeout="2s"))
