"""Changes reach a real Envoy without breaking what runs, and what it refuses breaks nothing either."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from byway.model import names
from tests.real.ads.envoys import ControlPlane, Sidecar, cluster, endpoints, resource, virtual_host

pytestmark = pytest.mark.real


@contextlib.asynccontextmanager
async def load(client: httpx.AsyncClient, host: str) -> AsyncIterator[Counter[str]]:
    """Calls without pause; what the answers were."""
    answers: Counter[str] = Counter()

    async def call() -> None:
        while True:
            response = await client.get("/", headers={"host": host})
            answers[response.text if response.status_code == 200 else str(response.status_code)] += 1

    callers = [asyncio.create_task(call()) for _ in range(4)]
    try:
        yield answers
    finally:
        for caller in callers:
            caller.cancel()
        ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def test_a_changed_cluster_is_warm_again_at_once(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Envoy does not ask again for the endpoints of a cluster that is sent anew, and would wait 15 s for them."""
    control_plane.serve("links", app)
    assert (await client.get("/", headers={"host": "links"})).text == "one"
    async with load(client, "links") as answers:
        for n in range(2, 12):
            keys = control_plane.catalogue.put(cluster("outbound|links", connect_timeout=f"{n}s"))
            result = await control_plane.publish(keys)
            assert (result.n_acked, result.refusals) == (1, ())
            assert result.seconds < 5
            assert result.n_resources_sent == 2  # the cluster and its endpoints
        dump = await sidecar.admin("/config_dump?resource=dynamic_active_clusters")
    assert '"connect_timeout": "11s"' in dump
    assert set(answers) == {"one"}


async def test_an_endpoint_change_sends_endpoints_only(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int, other_app: int
) -> None:
    """And once it is acknowledged, calls go to the new endpoint."""
    control_plane.serve("links", app)
    assert (await client.get("/", headers={"host": "links"})).text == "one"
    before = control_plane.proxy().n_sent
    await control_plane.publish(control_plane.catalogue.put(endpoints("outbound|links", other_app)))
    assert (await client.get("/", headers={"host": "links"})).text == "two"
    after = control_plane.proxy().n_sent
    assert {t: after[t] - before[t] for t in after if after[t] != before[t]} == {names.TYPE_ENDPOINTS: 1}


async def test_moving_a_route_between_new_clusters_fails_no_call(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int, other_app: int
) -> None:
    """Each move makes the next cluster before it breaks with the last; afterwards only the new one is there."""
    control_plane.serve("links", app)
    assert (await client.get("/", headers={"host": "links"})).text == "one"
    async with load(client, "links") as answers:
        for n in range(20):
            name = f"outbound|v{n}|links"
            keys = control_plane.catalogue.put(
                cluster(name),
                endpoints(name, (app, other_app)[n % 2]),
                virtual_host("out/links.default", ("links", "links.default"), name),
            )
            result = await control_plane.publish(keys)
            assert (result.n_affected, result.n_acked) == (1, 1)
    assert set(answers) == {"one", "two"}
    await control_plane.publish(control_plane.catalogue.put(endpoints("outbound|v19|links", app)))
    assert await sidecar.clusters() == {"outbound|v19|links"}


async def test_a_refused_resource_keeps_its_last_good_and_holds_up_nobody(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int, other_app: int
) -> None:
    """Of two virtual hosts changed at once, the good one arrives; the bad one is refused once, and healed by a change."""
    for service in ("links", "other"):
        control_plane.serve(service, app)
        assert (await client.get("/", headers={"host": service})).text == "one"
    control_plane.catalogue.put(endpoints("outbound|other", other_app))
    bad = control_plane.serve("links", app, match={"safe_regex": {"regex": "("}})
    good = control_plane.serve("other", other_app, response_headers_to_remove=["x"])
    result = await control_plane.publish(bad | good)
    assert (result.n_affected, result.n_acked) == (1, 0)
    assert [(nack.type_url, nack.name) for nack in result.refusals] == [(names.TYPE_VIRTUAL_HOST, "out/links.default")]
    assert "missing )" in result.refusals[0].reason
    assert not control_plane.proxy().is_in_sync
    assert (await client.get("/", headers={"host": "links"})).text == "one"
    assert (await client.get("/", headers={"host": "other"})).text == "two"
    result = await control_plane.publish(control_plane.serve("links", app))
    assert result.refusals == ()
    assert control_plane.proxy().is_in_sync


async def test_a_refused_cluster_makes_a_new_host_404_until_it_is_mended(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """A caller must not hang because an operator made a mistake."""
    control_plane.serve("links", app)
    control_plane.catalogue.put(cluster("outbound|links", connect_timeout="-1s"))
    assert (await client.get("/", headers={"host": "links"})).status_code == 404
    assert control_plane.proxy().last_error is not None
    result = await control_plane.publish(control_plane.catalogue.put(cluster("outbound|links")))
    assert result.refusals == ()
    assert (await client.get("/", headers={"host": "links"})).text == "one"


async def test_a_changed_listener_keeps_the_hosts_it_has(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Listener and route configuration are replaced under load."""
    control_plane.serve("links", app)
    assert (await client.get("/", headers={"host": "links"})).text == "one"
    async with load(client, "links") as answers:
        route = {"name": "out", "vhds": {"config_source": {"ads": {}, "resource_api_version": "V3"}}}
        for n in range(1, 6):
            changed = resource(names.TYPE_ROUTE, "out", {**route, "request_headers_to_remove": [f"x-{n}"]})
            result = await control_plane.publish(control_plane.catalogue.put(changed))
            assert (result.n_acked, result.refusals) == (1, ())
    assert set(answers) == {"one"}
