"""The world: the only mutable owner of resources, behind the engine's inputs.

Queries read `RESOURCE`, `INDEX` and its `BRANCHES` through the database; nothing else may change them.
"""

from __future__ import annotations

from byway.engine import Database, Input
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId
from byway.model.mesh import MeshDefaults
from byway.world.change import Change
from byway.world.index import BRANCHES, INDEX, Cell, cells, stem

RESOURCE: Input[ResourceId, Resource | None] = Input("resource", default=None)
"""Every resource by its id; None where there is none."""

STARTED_WITH: Input[str, MeshDefaults] = Input("started-with", default=MeshDefaults())
"""The mesh's defaults as the control plane was started, under the key `mesh`."""


class World:
    """All resources of the mesh, with their index, in one database: what is there, the database alone holds."""

    def __init__(self, database: Database, defaults: MeshDefaults | None = None) -> None:
        self._database = database
        self._n_resources = 0
        database.set(STARTED_WITH, "mesh", defaults or MeshDefaults())

    def __len__(self) -> int:
        return self._n_resources

    def resource(self, resource_id: ResourceId) -> Resource | None:
        """The resource of this id."""
        return RESOURCE(self._database, resource_id)

    def holds(self, resource_id: ResourceId, document: Document) -> bool:
        """Whether the resource of this id is there, and is what the document says."""
        here = self.resource(resource_id)
        return here is not None and here.document.body == document.body

    def resources(self, kind: str, namespace: str = "", name: str = "") -> tuple[Resource, ...]:
        """The resources of a kind, sorted by id; an empty namespace or name means all."""
        namespaces = [namespace] if namespace else sorted(BRANCHES(self._database, ("kind", kind)))
        ids = (i for where in namespaces for i in INDEX(self._database, ("kind", kind, where)))
        found = (self.resource(i) for i in ids if not name or i.name == name)
        return tuple(resource for resource in found if resource is not None)

    def apply(self, change: Change) -> Change:
        """Makes the change in one revision and returns its inverse."""
        before = [(i, self.resource(i)) for i in sorted(change.ids)]
        moves: dict[Cell, dict[ResourceId, bool]] = {}  # each cell is made anew once, however many come and go
        with self._database.write():
            for resource_id in change.removes:
                self._replace(resource_id, None, moves)
            for resource in change.puts:
                self._replace(resource.id, resource, moves)
            self._move(moves)
        return Change(
            tuple(resource for _, resource in before if resource is not None),
            tuple(resource_id for resource_id, resource in before if resource is None),
        )

    def _replace(
        self, resource_id: ResourceId, resource: Resource | None, moves: dict[Cell, dict[ResourceId, bool]]
    ) -> None:
        old = self.resource(resource_id)
        before = cells(old) if old is not None else frozenset()
        after = cells(resource) if resource is not None else frozenset()
        for cell in before - after:
            moves.setdefault(cell, {})[resource_id] = False
        for cell in after - before:
            moves.setdefault(cell, {})[resource_id] = True
        self._n_resources += (resource is not None) - (old is not None)
        self._database.set(RESOURCE, resource_id, resource)

    def _move(self, moves: dict[Cell, dict[ResourceId, bool]]) -> None:
        branches: dict[Cell, dict[str, bool]] = {}
        for cell, members in moves.items():
            before = INDEX(self._database, cell)
            gone = {resource_id for resource_id, is_in in members.items() if not is_in}
            after = before.moved(gone, members.keys() - gone)
            self._database.set(INDEX, cell, after)
            under = stem(cell)
            if under is not None and bool(before) != bool(after):
                branches.setdefault(under, {})[cell[-1]] = bool(after)
        for under, ends in branches.items():
            there = {*BRANCHES(self._database, under), *ends}
            self._database.set(BRANCHES, under, frozenset(end for end in there if ends.get(end, True)))
