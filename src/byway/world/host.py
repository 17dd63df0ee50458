"""The world: the only mutable owner of resources, behind the engine's inputs.

Queries read `RESOURCE`, `INDEX` and its `BRANCHES` through the database; nothing else may change them.
"""

from __future__ import annotations

from byway.engine import Database, Input
from byway.kinds.resource import Resource, ResourceId
from byway.model.mesh import MeshDefaults
from byway.world.change import Change
from byway.world.index import BRANCHES, INDEX, Cell, cells, stem

RESOURCE: Input[ResourceId, Resource | None] = Input("resource", default=None)
"""Every resource by its id; None where there is none."""

STARTED_WITH: Input[str, MeshDefaults] = Input("started-with", default=MeshDefaults())
"""The mesh's defaults as the control plane was started, under the key `mesh`."""


class World:
    """All resources of the mesh, with their index, in one database."""

    def __init__(self, database: Database, defaults: MeshDefaults | None = None) -> None:
        self._database = database
        self._resources: dict[ResourceId, Resource] = {}
        self._index: dict[Cell, frozenset[ResourceId]] = {}
        self._branches: dict[Cell, dict[str, None]] = {}
        database.set(STARTED_WITH, "mesh", defaults or MeshDefaults())

    def __len__(self) -> int:
        return len(self._resources)

    def resource(self, resource_id: ResourceId) -> Resource | None:
        """The resource of this id."""
        return self._resources.get(resource_id)

    def resources(self, kind: str, namespace: str = "", name: str = "") -> tuple[Resource, ...]:
        """The resources of a kind, sorted by id; an empty namespace or name means all."""
        namespaces = [namespace] if namespace else sorted(self._branches.get(("kind", kind), ()))
        ids = (i for where in namespaces for i in sorted(self._index.get(("kind", kind, where), ())))
        return tuple(self._resources[i] for i in ids if not name or i.name == name)

    def apply(self, change: Change) -> Change:
        """Makes the change in one revision and returns its inverse."""
        undo_puts = tuple(self._resources[i] for i in sorted(change.ids) if i in self._resources)
        undo_removes = tuple(i for i in sorted(change.ids) if i not in self._resources)
        moves: dict[Cell, dict[ResourceId, bool]] = {}  # each cell is made anew once, however many come and go
        with self._database.write():
            for resource_id in change.removes:
                self._replace(resource_id, None, moves)
            for resource in change.puts:
                self._replace(resource.id, resource, moves)
            for cell, members in moves.items():
                self._move(cell, members)
        return Change(undo_puts, undo_removes)

    def _replace(
        self, resource_id: ResourceId, resource: Resource | None, moves: dict[Cell, dict[ResourceId, bool]]
    ) -> None:
        old = self._resources.get(resource_id)
        before = cells(old) if old is not None else frozenset()
        after = cells(resource) if resource is not None else frozenset()
        for cell in before - after:
            moves.setdefault(cell, {})[resource_id] = False
        for cell in after - before:
            moves.setdefault(cell, {})[resource_id] = True
        if resource is None:
            self._resources.pop(resource_id, None)
            self._database.remove(RESOURCE, resource_id)
        else:
            self._resources[resource_id] = resource
            self._database.set(RESOURCE, resource_id, resource)

    def _move(self, cell: Cell, members: dict[ResourceId, bool]) -> None:
        before = self._index.get(cell, frozenset())
        gone = [resource_id for resource_id, is_in in members.items() if not is_in]
        after = before.difference(gone).union(i for i, is_in in members.items() if is_in)
        if after:
            self._index[cell] = after
            self._database.set(INDEX, cell, after)
        else:
            self._index.pop(cell, None)
            self._database.remove(INDEX, cell)
        if bool(before) != bool(after):
            self._branch(cell, is_there=bool(after))

    def _branch(self, cell: Cell, *, is_there: bool) -> None:
        under = stem(cell)
        if under is None:
            return
        branches = self._branches.setdefault(under, {})
        if is_there:
            branches[cell[-1]] = None
        else:
            branches.pop(cell[-1], None)
        self._database.set(BRANCHES, under, frozenset(branches))
