"""What a session asks of its surroundings; a closed set."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from byway.ads.catalogue import Key


class Entry(msgspec.Struct, frozen=True):
    """One resource of a response. No body: the mesh has no such thing (virtual hosts only)."""

    name: str
    version: str
    body: bytes | None
    aliases: tuple[str, ...] = ()


class Revisions(msgspec.Struct, frozen=True):
    """The publications that a response carries: every one from `first` to `last`."""

    first: int
    last: int

    def __contains__(self, revision: int) -> bool:
        return self.first <= revision <= self.last


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One response."""

    type_url: str
    nonce: str
    entries: tuple[Entry, ...] = ()
    removed: tuple[str, ...] = ()
    revisions: Revisions | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy refused this one resource for good: it keeps its last good one until the resource changes."""

    type_url: str
    name: str
    reason: str
    revisions: Revisions | None = None


class Asked(msgspec.Struct, frozen=True):
    """Some call is waiting for this resource, which the proxy had not been given: it asked on demand.

    `name` is the resource's own, whatever spelling was asked for; not `is_there`: the mesh has no such thing.
    """

    type_url: str
    name: str
    is_there: bool


class Watch(msgspec.Struct, frozen=True):
    """From now on the session depends on the keys `added`, and no more on those `dropped`."""

    added: tuple[Key, ...] = ()
    dropped: tuple[Key, ...] = ()


class Close(msgspec.Struct, frozen=True):
    """The stream ends with this gRPC status."""

    code: Literal["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL"]
    message: str


Action: TypeAlias = Send | Refused | Asked | Watch | Close
