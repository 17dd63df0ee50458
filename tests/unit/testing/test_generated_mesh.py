"""A generated mesh is what operators could have written, is the same each time, and is shaped as meshes are."""

from __future__ import annotations

import statistics

import pytest

from byway.derive.analysis import findings
from byway.engine import Database
from byway.kinds.decode import decode
from byway.testing.generated_mesh import GeneratedMesh
from byway.testing.mesh import resources_in
from byway.testing.population import TEAM, Population, Size
from byway.testing.written import yaml_of
from byway.world.change import Change
from byway.world.host import World

SMALL = Size(n_services=60, n_endpoints=400)


def test_every_resource_is_what_its_document_decodes_to() -> None:
    """Specs are made without decoding; the decoder finds the same, and no fault."""
    for resource in GeneratedMesh(SMALL).resources():
        decoded = decode(resource.document)
        assert decoded.diagnostics == ()
        assert decoded.value == resource


def test_written_down_as_yaml_it_reads_back() -> None:
    resources = GeneratedMesh(Size(n_services=20, n_endpoints=60)).resources()
    read = resources_in(yaml_of(resources))
    assert [(r.id, r.spec, r.document.body) for r in read] == [(r.id, r.spec, r.document.body) for r in resources]


def test_it_has_no_mistakes_and_every_kind_of_a_mesh_in_use() -> None:
    """So that what is measured is not the handling of mistakes."""
    resources = GeneratedMesh(SMALL).resources()
    database = Database()
    World(database).apply(Change(resources))
    assert [str(d) for r in resources for d in findings(database, r.id)] == []
    assert {r.id.kind for r in resources} == {
        "AuthorizationPolicy", "DestinationRule", "MeshConfig", "Namespace", "PeerAuthentication", "Service",
        "VirtualService", "WorkloadEntry",
    }  # fmt: skip


def test_the_same_size_and_seed_give_the_same_mesh() -> None:
    assert GeneratedMesh(SMALL).resources() == GeneratedMesh(SMALL).resources()
    other = Size(n_services=60, n_endpoints=400, seed=1)
    assert GeneratedMesh(SMALL).resources() != GeneratedMesh(other).resources()


def test_the_first_teams_are_the_same_in_meshes_of_all_sizes() -> None:
    """A change there can be compared: nothing about its own neighbourhood depends on the size."""
    small, large = (Population(Size(n_services=n, n_endpoints=10 * n)) for n in (100, 2_000))
    assert large.services[:100] == small.services


@pytest.mark.parametrize("size", [Size(n_services=10, n_endpoints=10), Size(n_services=1_000, n_endpoints=7_000)])
def test_it_is_as_big_as_was_asked(size: Size) -> None:
    population = Population(size)
    assert len(population.services) == size.n_services
    addresses = [instance.address for instance in population.instances()]
    assert len(addresses) == size.n_endpoints
    assert len(set(addresses)) == size.n_endpoints
    assert len({service.vip for service in population.services}) == size.n_services


def test_few_services_are_called_by_many_and_no_call_comes_back() -> None:
    mesh = GeneratedMesh(Size(n_services=2_000, n_endpoints=2_000))
    services = mesh.population.services
    n_callers = sorted(len(mesh.callers(service)) for service in services)
    assert n_callers[-1] > 20 * max(1, statistics.median(n_callers))
    for service in services:
        for called in mesh.population.callees(service):
            assert (-(called.number // TEAM), called.number) > (-(service.number // TEAM), service.number)
    assert {len(s.calls) for s in services if s.number % TEAM == 0} == {5}
