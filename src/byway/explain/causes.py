"""Causes: the objects that something was derived from, as the engine recorded it."""

from __future__ import annotations

from byway.engine import Database, Root
from byway.kinds.resource import ResourceId
from byway.world.host import RESOURCE


def causes(db: Database, root: Root) -> tuple[ResourceId, ...]:
    """Every object that was read for this result, directly or through other queries, sorted."""
    return tuple(sorted(key for cell, key in db.inputs_of(root.query, *root.args) if cell is RESOURCE))
