"""Namespace: a tenant's room; what the mesh reads of it are its labels."""

from __future__ import annotations

from typing import ClassVar

from byway.kinds.message import Message


class Namespace(Message, frozen=True, kw_only=True):
    """Its labels and annotations stand in the resource's metadata."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"finalizers"})
