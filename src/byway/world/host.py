"""The world: the only mutable owner of resources, behind the engine's inputs.

Queries read `RESOURCE` and `INDEX` through the database; nothing else may change them.
"""

from __future__ import annotations

from byway.engine import Database, Input
from byway.kinds.resource import Resource, ResourceId
from byway.model.mesh import MeshDefaults
from byway.world.change import Change
from byway.world.index import INDEX, Cell, cells

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
        database.set(STARTED_WITH, "mesh", defaults or MeshDefaults())

    def __len__(self) -> int:
        return len(self._resources)

    def resource(self, resource_id: ResourceId) -> Resource | None:
        """The resource of this id."""
        return self._resources.get(resource_id)

    def resources(self, kind: str, namespace: str = "", name: str = "") -> tuple[Resource, ...]:
        """The resources of a kind, sorted by id; an empty namespace or name means all."""
        ids = sorted(self._index.get(("kind", kind), frozenset()))
        found = (i for i in ids if (not namespace or i.namespace == namespace) and (not name or i.name == name))
        return tuple(self._resources[i] for i in found)

    def apply(self, change: Change) -> Change:
        """Makes the change in one revision and returns its inverse."""
        undo_puts = tuple(self._resources[i] for i in sorted(change.ids) if i in self._resources)
        undo_removes = tuple(i for i in sorted(change.ids) if i not in self._resources)
        with self._database.write():
            for resource_id in change.removes:
                self._replace(resource_id, None)
            for resource in change.puts:
                self._replace(resource.id, resource)
        return Change(undo_puts, undo_removes)

    def _replace(self, resource_id: ResourceId, resource: Resource | None) -> None:
        old = self._resources.get(resource_id)
        before = cells(old) if old is not None else frozenset()
        after = cells(resource) if resource is not None else frozenset()
        for cell in before - after:
            self._put_cell(cell, self._index[cell] - {resource_id})
        for cell in after - before:
            self._put_cell(cell, self._index.get(cell, frozenset()) | {resource_id})
        if resource is None:
            self._resources.pop(resource_id, None)
            self._database.remove(RESOURCE, resource_id)
        else:
            self._resources[resource_id] = resource
            self._database.set(RESOURCE, resource_id, resource)

    def _put_cell(self, cell: Cell, ids: frozenset[ResourceId]) -> None:
        if ids:
            self._index[cell] = ids
            self._database.set(INDEX, cell, ids)
        else:
            self._index.pop(cell, None)
            self._database.remove(INDEX, cell)
