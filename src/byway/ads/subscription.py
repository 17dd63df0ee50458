"""One type of resource on one stream: what the proxy asked for, should hold, holds, and what is on the way.

A proxy asks by name, and the answer may go by another (every spelling of a host leads to one virtual host): `names`
maps asked names to resource names, `aliases` back. Everything else is keyed by the name of the resource. `wanted` is
the goal, `held` what the proxy acknowledged, `flying` what it was sent and has not yet answered; at most one version of
a resource flies at a time, so a proxy that answers slowly sees only the newest version, and what is queued for it stays
bounded. `dirty` holds the names whose goal and state may differ.

A subscription lives as long as the proxy's process: names once asked for stay, unknown and deleted ones too, because
Envoy never asks for a name twice.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

import msgspec

from byway.ads.action import Entry, Revisions
from byway.ads.catalogue import Lookup
from byway.model import names
from byway.xds.resource import Resource

ABSENT: Final = "absent"
"""The version of a name that the mesh does not have; Envoy repeats it after a reconnect, so it is not told again."""

UNASKED: Final = "~"
"""Ends the version of a virtual host that was sent unasked; Envoy repeats it after a reconnect, so what was asked for by
another spelling is not taken for one of these."""

WILDCARD: Final = "*"
WILDCARD_TYPES: Final = frozenset({names.TYPE_LISTENER, names.TYPE_CLUSTER})


class Unit(msgspec.Struct, frozen=True):
    """One name as a proxy holds it. The resource is unknown where only its version survived a reconnect."""

    version: str
    resource: Resource | None = None

    @classmethod
    def of(cls, resource: Resource) -> Unit:
        """The unit of a resource."""
        return cls(resource.version, resource)

    @property
    def n_bytes(self) -> int:
        """What it adds to a response, nearly."""
        return 64 if self.resource is None else len(self.resource.any_bytes)


class Removal(msgspec.Struct, frozen=True):
    """A name that the proxy must give up; `is_asked` if it will be told should it come back."""

    is_asked: bool
    n_bytes: ClassVar[int] = 64


Need: TypeAlias = Unit | Removal


class Rejection(msgspec.Struct, frozen=True):
    """A version that the proxy refused."""

    version: str
    reason: str
    at: float


class Flight(msgspec.Struct, kw_only=True):
    """One response on its way. Refused, several units are sent again one by one, a single one is given up."""

    nonce: str
    units: dict[str, Need]
    owed: frozenset[str]
    revisions: Revisions | None
    sent_at: float


REMOVED_VERSION: Final = "removed"


class Subscription:
    """See the module."""

    def __init__(self, type_url: str) -> None:
        self.type_url = type_url
        self.is_open = False
        self.is_wildcard = False
        self.is_greeting_owed = False  # an empty proxy waits for an answer even where there is nothing to send
        self.asked: dict[str, None] = {}
        self.given: set[str] = set()  # those of `asked` that the proxy did not ask for itself
        self.names: dict[str, str] = {}
        self.aliases: dict[str, dict[str, None]] = {}
        self.wanted: dict[str, Resource | None] = {}
        self.held: dict[str, Unit] = {}
        self.flying: dict[str, Flight] = {}
        self.rejected: dict[str, Rejection] = {}
        self.dirty: dict[str, int | None] = {}  # → the first publication that is not yet sent; None: counts for none
        self.owed: set[str] = set()  # to be sent even if the proxy holds this very version
        self.alone: set[str] = set()  # refused in company: the next attempt goes in a response of its own
        self.n_sent = 0
        self.n_removed = 0

    @property
    def has_roots(self) -> bool:
        """Whether the proxy may hold something that it did not ask for by name."""
        return self.is_wildcard or self.type_url == names.TYPE_VIRTUAL_HOST

    @property
    def is_on_demand(self) -> bool:
        """Whether the proxy asks for a name only when a call needs it."""
        return self.type_url == names.TYPE_VIRTUAL_HOST or (self.type_url == names.TYPE_CLUSTER and self.is_wildcard)

    def ask(self, name: str) -> None:
        """The proxy asked for `name`."""
        self.asked[name] = None
        self.given.discard(name)

    def give(self, name: str) -> None:
        """The proxy is to hold `name` as if it had asked."""
        self.asked[name] = None
        self.given.add(name)

    def came_unasked(self) -> tuple[str, ...]:
        """What the proxy holds that is sent on demand, but that it never asked for: it was prewarmed on an earlier stream."""
        if self.type_url == names.TYPE_VIRTUAL_HOST:
            return tuple(n for n in self.held if n not in self.wanted and n in self.given)
        if self.type_url == names.TYPE_CLUSTER:
            return tuple(n for n in self.held if n not in self.wanted and n.startswith(names.ON_DEMAND_CLUSTER))
        return ()

    def touch(self, name: str, revision: int | None) -> None:
        """Have `name` looked at again."""
        if self.dirty.get(name) is None:
            self.dirty[name] = revision

    def want(self, asked: str, lookup: Lookup, revision: int | None) -> None:
        """The proxy should hold what `asked` stands for now."""
        name = lookup.resource.name if lookup.resource is not None else asked
        before = self.names.get(asked)
        if before is not None and before != name:
            self.unwant(asked, revision)
        self.names[asked] = name
        self.aliases.setdefault(name, {})[asked] = None
        self.wanted[name] = lookup.resource
        if name in self.rejected and self.rejected[name].version != self.target_version(name):
            del self.rejected[name]
        self.touch(name, revision)

    def unwant(self, asked: str, revision: int | None) -> None:
        """The proxy needs `asked` no more."""
        name = self.names.pop(asked, None)
        if name is None:
            return
        spellings = self.aliases[name]
        spellings.pop(asked, None)
        if not spellings:
            del self.aliases[name]
            self.wanted.pop(name, None)
            self.rejected.pop(name, None)
            self.touch(name, revision)

    def forget(self, asked: str) -> None:
        """The proxy itself dropped `asked`: nothing has to be removed from it."""
        name = self.names.get(asked, asked)
        self.unwant(asked, None)
        if name in self.wanted:
            return
        self.held.pop(name, None)
        self.dirty.pop(name, None)
        self.owed.discard(name)
        self.alone.discard(name)
        flight = self.flying.pop(name, None)
        if flight is not None:
            flight.units.pop(name, None)

    def inherit(self, versions: dict[str, str]) -> None:
        """The proxy holds these already, from an earlier stream."""
        for name, version in versions.items():
            self.held[name] = Unit(version.removesuffix(UNASKED))
            if version.endswith(UNASKED):
                self.given.add(name)
            self.touch(name, None)

    def need(self, name: str) -> Need | None:
        """What the proxy has to be told about `name` next, if anything."""
        held = self.held.get(name)
        if name not in self.wanted:
            return Removal(False) if held is not None and held.version != ABSENT else None
        resource = self.wanted[name]
        if resource is None:
            return self._need_of_absent(name, held)
        rejection = self.rejected.get(name)
        if rejection is not None and rejection.version == resource.version:
            return self.fallback(name)
        if held is not None and held.version == resource.version and name not in self.owed:
            self.held[name] = Unit.of(resource)
            self.rejected.pop(name, None)
            return None
        return Unit.of(resource)

    def _need_of_absent(self, name: str, held: Unit | None) -> Need | None:
        is_body_held = held is not None and held.version != ABSENT
        if self.type_url == names.TYPE_VIRTUAL_HOST:
            # Envoy takes a body away only by removal, and answers a waiting request only by an entry without body.
            if is_body_held:
                return Removal(True)
            return Unit(ABSENT) if held is None or name in self.owed else None
        if held is not None and is_body_held and self.type_url == names.TYPE_ENDPOINTS:
            # Endpoints go with their cluster, which may still be in use, or even be warming.
            return None if name not in self.owed else held if held.resource is not None else Removal(True)
        return Removal(True) if is_body_held or held is None or name in self.owed else None

    def fallback(self, name: str) -> Unit | None:
        """What a waiting proxy is told while it cannot have what it should: its last good, or that there is none."""
        held = self.held.get(name)
        if held is not None and held.version != ABSENT:
            return held if name in self.owed and held.resource is not None else None
        is_awaited = held is None or name in self.owed
        return Unit(ABSENT) if is_awaited and self.type_url == names.TYPE_VIRTUAL_HOST else None

    def parting(self, name: str, need: Unit) -> Unit | None:
        """What a proxy that is moving away from `name` is told of it: nothing, or what it has where it waits for that."""
        held = self.held.get(name)
        if name not in self.owed:
            return None
        return held if held is not None and held.resource is not None else need

    def entry(self, name: str, unit: Unit) -> Entry:
        """`unit` as a response has it; a virtual host goes by every spelling that was asked for."""
        body = None if unit.resource is None else unit.resource.any_bytes
        if self.type_url != names.TYPE_VIRTUAL_HOST:
            return Entry(name, unit.version, body)
        spellings = tuple(self.aliases.get(name, (name,)))
        mark = UNASKED if body is not None and self.given.issuperset(spellings) else ""
        return Entry(name, unit.version + mark, body, spellings)

    def take_off(self, flight: Flight) -> None:
        """The units of `flight` are on their way."""
        for name, need in flight.units.items():
            self.flying[name] = flight
            self.owed.discard(name)
            self.dirty.pop(name, None)
            if isinstance(need, Removal):
                self.n_removed += 1
            else:
                self.n_sent += 1

    def land(self, flight: Flight) -> None:
        """The proxy acknowledged `flight`."""
        for name, need in flight.units.items():
            del self.flying[name]
            self.alone.discard(name)
            if isinstance(need, Unit):
                self.held[name] = need
                if need.version == self.target_version(name):
                    self.rejected.pop(name, None)
            elif need.is_asked and self.type_url != names.TYPE_VIRTUAL_HOST:
                self.held[name] = Unit(ABSENT)
            else:
                self.held.pop(name, None)
            revisions = flight.revisions
            self.touch(name, revisions.first if revisions and self._is_behind(name) else None)

    def target_version(self, name: str) -> str:
        """The version that the proxy should hold."""
        if name not in self.wanted:
            return REMOVED_VERSION
        resource = self.wanted[name]
        return ABSENT if resource is None else resource.version

    def _is_behind(self, name: str) -> bool:
        """Whether a landed removal was only the first half of its change."""
        return self.type_url == names.TYPE_VIRTUAL_HOST and name in self.wanted and name not in self.held

    def bounce(self, flight: Flight, reason: str, now: float) -> str | None:
        """The proxy refused `flight`; returns the name refused for good, if there was but one."""
        is_single = len(flight.units) == 1
        first = flight.revisions.first if flight.revisions else None
        for name, need in flight.units.items():
            del self.flying[name]
            self.touch(name, first)
            if is_single:
                self._reject(name, need, reason, now)
            else:
                self.alone.add(name)
            if name in flight.owed and not (is_single and self._is_last_resort(name, need)):
                self.owed.add(name)
        return next(iter(flight.units)) if is_single else None

    def _reject(self, name: str, need: Need, reason: str, now: float) -> None:
        self.alone.discard(name)
        version = need.version if isinstance(need, Unit) else REMOVED_VERSION
        known = self.rejected.get(name)
        if name not in self.wanted:
            pass  # nobody wants it any more, so nobody needs to know
        elif known is None or known.version != self.target_version(name):
            self.rejected[name] = Rejection(version, reason, now)
        if isinstance(need, Removal):
            self.held.pop(name, None)
        elif need.version == ABSENT:
            self.held[name] = need  # there is nothing else to be said: it has been told, whatever it makes of that

    def _is_last_resort(self, name: str, need: Need) -> bool:
        """Whether there is nothing else that the proxy could be told instead of `need`."""
        held = self.held.get(name)
        return isinstance(need, Removal) or (held is not None and held.version == need.version)
