"""A change of the world: resources put and removed together, and its inverse."""

from __future__ import annotations

import msgspec

from byway.kinds.resource import Resource, ResourceId


class Change(msgspec.Struct, frozen=True):
    """Resources to put (created or replaced) and ids to remove; all of it happens or nothing."""

    puts: tuple[Resource, ...] = ()
    removes: tuple[ResourceId, ...] = ()

    @property
    def ids(self) -> frozenset[ResourceId]:
        """Every resource that the change touches."""
        return frozenset((*(resource.id for resource in self.puts), *self.removes))
