"""A fleet knows when it is in sync, counts what it was sent, and tells whether that is what it should have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice

import pytest

from bench.plane import Plane
from byway.ads.hub import Pace
from byway.model import names
from byway.testing.fleet import Fleet, posts
from byway.testing.generated_mesh import GeneratedMesh, entry, mesh_access, routes
from byway.testing.population import Inhabitant, Size, instances_of

MESH = GeneratedMesh(Size(n_services=40, n_endpoints=160))
PACE = Pace(window_s=0.01, tick_s=0.05)
N_PROXIES = 60


def called_http() -> Inhabitant:
    """A service with routes of its own that most of its team call."""
    return next(s for s in MESH.population.services if s.name == "ledger")


@pytest.fixture
def plane() -> Plane:
    return Plane(MESH.resources(), pace=PACE)


@pytest.fixture
async def fleet(plane: Plane) -> AsyncIterator[Fleet]:
    async with plane.serving() as target:
        fleet = Fleet(target, islice(posts(MESH.population), N_PROXIES))
        await fleet.connect(30)
        yield fleet
        await fleet.disconnect()


async def test_a_connected_fleet_holds_what_its_workloads_call(plane: Plane, fleet: Fleet) -> None:
    """All of it is there, byte for byte, and nothing else; and both sides have counted the same."""
    assert fleet.n_connected == plane.hub.n_connected == N_PROXIES
    assert fleet.mismatches(Plane(MESH.resources()).catalogue) == ()
    received = fleet.received()
    assert received.n_resources == plane.hub.n_sent
    assert received.n_bytes > 500 * N_PROXIES
    for member in fleet.members:
        hosts = {name for is_cluster, name in member.post.questions if not is_cluster}
        assert all(member.envoy.virtual_host(host) is not None for host in hosts)


async def test_a_change_that_did_not_come_is_found(plane: Plane, fleet: Fleet) -> None:
    """The comparison is worth something: it names who has the old one, and of what."""
    changed = Plane((*MESH.resources(), mesh_access(denied="/elsewhere/*")))
    found = fleet.mismatches(changed.catalogue)
    # Where no HTTP is spoken no path is seen: a rule against one path is the same as one against another.
    with_paths = {m.post for m in fleet.members if m.post.account != "store"}
    assert len({text.partition(":")[0] for text in found}) == len(with_paths) < N_PROXIES
    assert all(text.endswith("is old") for text in found)
    work = await plane.change(mesh_access(denied="/elsewhere/*"))
    assert work.n_acked == work.n_affected == len(with_paths)
    assert fleet.mismatches(changed.catalogue) == ()


async def test_one_endpoint_goes_as_endpoints_to_those_who_hold_them(plane: Plane, fleet: Fleet) -> None:
    service = called_http()
    instance = list(instances_of(service))[-1]
    cluster = f"outbound|{service.port}|{instance.version}|{service.host}"
    holders = [m for m in fleet.members if cluster in m.envoy.of(names.TYPE_ENDPOINTS)]
    before = fleet.received()
    work = await plane.change(entry(instance, service, address="10.200.0.1"))
    assert work.n_acked == work.n_affected == work.n_sent == len(holders) > 3
    assert fleet.received().since(before).n_resources == len(holders)
    assert all(b"10.200.0.1" in m.envoy.of(names.TYPE_ENDPOINTS)[cluster] for m in holders)


async def test_who_comes_back_is_sent_nothing_again(plane: Plane, fleet: Fleet) -> None:
    """Neither by the control plane that it knows nor by one that has just started."""
    n_sent, before = plane.hub.n_sent, fleet.received()
    await fleet.disconnect()
    await fleet.connect(30)
    assert plane.hub.n_sent == n_sent
    await fleet.disconnect()
    restarted = Plane(MESH.resources(), pace=PACE)
    async with restarted.serving() as target:
        fleet.move(target)
        await fleet.connect(30)
        assert restarted.hub.n_sent == 0
        assert fleet.received().since(before).n_resources == 0
        await fleet.disconnect()


async def test_a_refusal_is_seen_and_leaves_the_last_good(plane: Plane, fleet: Fleet) -> None:
    """Refusing is on demand; what is refused is told to the control plane with the reason."""
    service = called_http()
    before = {m.post: dict(m.envoy.of(names.TYPE_VIRTUAL_HOST)) for m in fleet.members}
    fleet.refuse(lambda type_url, name, body: "not today" if type_url == names.TYPE_VIRTUAL_HOST else None)
    work = await plane.change(routes(service, share=42))
    assert work.n_affected > 3
    assert work.n_acked == 0
    assert {m.post: dict(m.envoy.of(names.TYPE_VIRTUAL_HOST)) for m in fleet.members} == before
    errors = [proxy.last_error for proxy in plane.hub.snapshot() if proxy.last_error]
    assert {error.reason for error in errors} == {"not today"}
    assert len(errors) == work.n_affected
