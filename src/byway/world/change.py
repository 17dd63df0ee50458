"""A change of the world: resources put and removed together, and its inverse."""

from __future__ import annotations

from collections.abc import Set

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

    def only(self, ids: Set[ResourceId]) -> Change:
        """The part of it that is about `ids`."""
        return Change(tuple(r for r in self.puts if r.id in ids), tuple(i for i in self.removes if i in ids))

    def without(self, ids: Set[ResourceId]) -> Change:
        """The part of it that is not about `ids`."""
        return Change(tuple(r for r in self.puts if r.id not in ids), tuple(i for i in self.removes if i not in ids))
