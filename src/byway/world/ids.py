"""Ids: the resources that one cell of the index leads to, sorted.

There are as many such sets as there are names in a mesh, and most have a few members: a tuple is a fifth of a frozenset of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Set

from byway.kinds.resource import ResourceId


class Ids(tuple[ResourceId, ...], Set[ResourceId]):  # type: ignore[misc]  # what both have, a tuple answers, for sorted ones alike
    """A set as a sorted tuple without repetition; make it of sorted ids."""

    __slots__ = ()

    @classmethod
    def _from_iterable(cls, ids: Iterable[ResourceId]) -> Ids:  # type: ignore[override]  # of ids, not of anything
        return cls(sorted(set(ids)))

    def __ror__(self, other: Set[ResourceId]) -> set[ResourceId]:  # a set that it joins stays one
        return {*other, *self}

    def moved(self, gone: Set[ResourceId], come: Set[ResourceId]) -> Ids:
        """These without some and with some others."""
        if len(gone) + len(come) > 1:
            return self._from_iterable((set(self) - gone) | come)
        for resource_id in gone or come:
            at = bisect_left(self, resource_id)
            is_in = at < len(self) and self[at] == resource_id
            return Ids((*self[:at], *come, *self[at + is_in :]))
        return self


NOBODY = Ids()
