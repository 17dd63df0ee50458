"""A mesh-wide rule about requests: the routes of every proxy change, its rules are built once for all, and no listener is."""

from __future__ import annotations

from collections import Counter

import pytest

from byway.ads.catalogue import Proxy
from byway.app.catalogue import MeshCatalogue
from byway.engine import Database, Event, WillCompute
from byway.model.names import TYPE_LISTENER, TYPE_ROUTE
from byway.testing.generated_mesh import GeneratedMesh, mesh_access
from byway.testing.population import Size, instances_of
from byway.world.change import Change
from byway.world.host import World


@pytest.fixture(scope="module")
def mesh() -> GeneratedMesh:
    return GeneratedMesh(Size(n_services=20, n_endpoints=200))


def test_only_routes_are_made_anew(mesh: GeneratedMesh) -> None:
    events: list[Event] = []
    database = Database(on_event=events.append)
    world = World(database)
    world.apply(Change(mesh.resources()))
    catalogue = MeshCatalogue(database)
    web = next(s for s in mesh.population.services if not s.is_tcp)
    proxies = [
        Proxy(instance=i.name, namespace=i.namespace, identity="", kind="sidecar", epoch="") for i in instances_of(web)
    ]
    assert len(proxies) > 1
    for proxy in proxies:
        for name in catalogue.listeners(proxy):
            assert catalogue.lookup(proxy, TYPE_LISTENER, name).resource is not None
        route = f"inbound/{proxy.namespace}/{proxy.instance}/{'grpc' if web.is_grpc else 'http'}"
        assert catalogue.lookup(proxy, TYPE_ROUTE, route).resource is not None
    database.changed()
    events.clear()

    world.apply(Change((mesh_access(denied="/nobody/*"),)))
    changed = database.changed()

    ran = Counter(event.query.name for event in events if isinstance(event, WillCompute))
    assert [root.query.name for root in changed] == ["route_resource"] * len(proxies)
    assert ran["route_resource"] == len(proxies)
    assert ran["listener_resource"] == ran["standing_clusters"] == 0
    assert ran["inbound_rules"] == 1
