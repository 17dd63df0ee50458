"""The world holds in its database, and only there, what is in the mesh: a change and its inverse leave it as it was."""

from __future__ import annotations

from byway.engine import Database
from byway.engine.invariants import broken_invariants
from byway.kinds.resource import ResourceId
from byway.testing.generated_mesh import GeneratedMesh
from byway.testing.population import Size
from byway.world.change import Change
from byway.world.host import World
from byway.world.index import BRANCHES, INDEX


def everything(database: Database) -> dict[str, object]:
    return {table.name: dict(values) for table, values in database.unread.items() if values}


def test_the_inverse_of_a_change_leaves_the_world_as_it_was() -> None:
    database = Database()
    world = World(database)
    resources = GeneratedMesh(Size(n_services=40, n_endpoints=120)).resources()
    world.apply(Change(resources[:100]))
    before, n_before = everything(database), len(world)
    undo = world.apply(Change(resources[90:], tuple(resource.id for resource in resources[:80])))
    assert len(world) == len(resources) - 80
    assert world.resources("WorkloadEntry", "team-0") != ()
    world.apply(undo)
    assert (everything(database), len(world)) == (before, n_before)
    assert broken_invariants(database) == []


def test_what_all_left_leaves_nothing_behind() -> None:
    database = Database()
    world = World(database)
    empty = everything(database)
    resources = GeneratedMesh(Size(n_services=20, n_endpoints=40)).resources()
    world.apply(Change(resources))
    assert BRANCHES(database, ("kind", "Service")) == {"team-0"}
    assert ResourceId("Service", "team-0", "web") in INDEX(database, ("kind", "Service", "team-0"))
    world.apply(Change((), tuple(resource.id for resource in resources)))
    assert (everything(database), len(world)) == (empty, 0)
