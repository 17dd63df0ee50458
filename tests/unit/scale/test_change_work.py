"""What a change costs does not depend on the size of the mesh: the same queries run, the same resources are sent.

The first teams of every generated mesh are alike, so the same change in the same neighbourhood must be the same work: by
the way of an operator's write, with its analysis and proof, and as sent to the proxies beside the services of one team.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import islice

import msgspec
import pytest

from bench.plane import Plane, Work
from byway.ads.hub import Pace
from byway.kinds.resource import Resource
from byway.testing.fleet import Fleet, posts
from byway.testing.generated_mesh import GeneratedMesh, entry, routes, service_resource
from byway.testing.population import TEAM, Inhabitant, Size, instances_of

SIZES = (100, 1_000)
PACE = Pace(window_s=0.0, tick_s=0.05)
Edit = Callable[[GeneratedMesh, Inhabitant, int], Resource]


class Cost(msgspec.Struct, frozen=True):
    """The work of one change; which queries ran, and how often."""

    queries: dict[str, int]
    n_sent: int
    n_affected: int


def route_edit(mesh: GeneratedMesh, service: Inhabitant, n: int) -> Resource:
    return routes(service, share=10 + n)


def endpoint_edit(mesh: GeneratedMesh, service: Inhabitant, n: int) -> Resource:
    return entry(next(instances_of(service)), service, weight=2 + n)


def access_edit(mesh: GeneratedMesh, service: Inhabitant, n: int) -> Resource:
    return mesh.access(service, path=f"/secret-{n}")


def service_edit(mesh: GeneratedMesh, service: Inhabitant, n: int) -> Resource:
    return service_resource(service, n_more=n)


EDITS: dict[str, Edit] = {
    "route": route_edit,
    "endpoint": endpoint_edit,
    "access": access_edit,
    "service": service_edit,
}


def ran(plane: Plane) -> Counter[str]:
    return Counter({query.name: done.n_computed for query, done in plane.database.statistics().items()})


async def costs(n_services: int) -> dict[str, Cost]:
    """What each edit costs in a mesh of this size, with a proxy beside one instance of each service of the first team."""
    mesh = GeneratedMesh(Size(n_services=n_services, n_endpoints=5 * n_services))
    plane = Plane(mesh.resources(), pace=PACE)
    service = next(s for s in mesh.population.services if s.name == "ledger")
    found: dict[str, Cost] = {}
    async with plane.serving() as target:
        fleet = Fleet(target, islice(posts(mesh.population), TEAM))
        await fleet.connect(30)
        try:
            for name, edit in EDITS.items():
                await plane.write(edit(mesh, service, 0))  # what is measured is a change, not a creation
                plane.tidy()
                before = ran(plane)
                work: Work = await plane.write(edit(mesh, service, 1))
                assert work.n_acked == work.n_affected
                found[name] = Cost(dict(ran(plane) - before), work.n_sent, work.n_affected)
            assert fleet.mismatches(Plane(plane.resources()).catalogue) == ()
        finally:
            await fleet.disconnect()
    return found


@pytest.fixture(scope="module")
def by_size() -> dict[int, dict[str, Cost]]:
    return {n: asyncio.run(costs(n)) for n in SIZES}


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_is_the_same_work_in_a_mesh_of_any_size(edit: str, by_size: dict[int, dict[str, Cost]]) -> None:
    small, large = (by_size[n][edit] for n in SIZES)
    assert large == small
    assert small.queries
    assert small.n_affected > 0 or edit == "service"  # nobody calls its new port yet


def test_an_endpoint_change_derives_no_routes_and_no_listeners_of_others(by_size: dict[int, dict[str, Cost]]) -> None:
    queries = by_size[SIZES[0]]["endpoint"].queries
    assert not {"virtual_host", "cluster", "rules_for", "access"} & queries.keys()
