"""Inspection: what a control plane finds stored when it starts is proved, once for each Byway, Envoy and version of an object.

Whatever was applied here was proved then, so the usual restart proves nothing: a file remembers the digests of what this
Byway and this Envoy have proved, and who was in quarantine. What is new to them (an upgrade, a store that others write, a
backup) is proved before proxies are served, but for no longer than `START_S`; the rest is proved while they are, a few
objects at a time. Only kinds are looked at in which operators can write what Envoy may refuse: the others have names and
numbers that their own decoding has judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import structlog

from byway.app.intake import Incoming, identity, incoming, readable
from byway.app.losses import losses
from byway.app.proposal import Judged, Proposals, both
from byway.app.quarantine import Held, Quarantine
from byway.app.recall import earlier
from byway.authority.private_files import write_atomically
from byway.base.clock import Clock
from byway.base.digest import digest
from byway.base.errors import FaultError
from byway.base.json import decoded
from byway.kinds.resource import Resource, ResourceId
from byway.sources.source import Snapshot, Source
from byway.world.change import Change
from byway.world.host import World

START_S: Final = 5.0
"""So long serving waits at most, and a few objects more."""
PROVED: Final = ("MeshConfig", "Gateway", "DestinationRule", "VirtualService", "AuthorizationPolicy")
"""Those first that shape most."""
_AT_ONCE: Final = 8
"""Objects that are proved before the sessions have their turn."""
_BREATH_S: Final = 0.02
_LOOK_S: Final = 5.0
_KEEP_S: Final = 600.0
_log = structlog.get_logger("byway.inspection")


class _Remembered(msgspec.Struct, frozen=True):
    """What is kept across restarts; `by` says which Byway and Envoy the proofs are of."""

    by: str = ""
    proved: frozenset[str] = frozenset()
    held: tuple[Held, ...] = ()


class Inspection:
    """See the module. `by` names this Byway and its Envoy."""

    def __init__(
        self, world: World, source: Source, proposals: Proposals, quarantine: Quarantine, clock: Clock, path: Path
    ) -> None:
        self.by = ""
        self._world = world
        self._source = source
        self._proposals = proposals
        self._quarantine = quarantine
        self._clock = clock
        self._path = path
        self._unproved: dict[ResourceId, str] = {}
        self._revision = 0
        self._lost: set[ResourceId] = set()  # held as they were loaded: their last good version may be in the store
        self._n_kept = 0
        self._kept_at = clock.monotonic()

    @property
    def n_unproved(self) -> int:
        """How many objects are still to be looked at."""
        return len(self._unproved)

    def load(self, snapshot: Snapshot, by: str) -> int:
        """Fills the world; how many objects are in it now. Those that are damaged in the store are held."""
        self.by = by
        self._revision = snapshot.revision
        documents = snapshot.documents  # each is read as it is taken: all at once would fill memory
        ids = snapshot.ids or tuple(identity(document) for document in documents)
        found = incoming(documents, ids)
        remembered = self._remembered()
        unreadable = (*found.unreadable, *losses(snapshot.damaged))
        wanted = {held.id for held in remembered.held}
        stored = {i: documents[n] for n, i in enumerate(ids) if i in wanted}
        stored |= {unread.id: unread.document for unread in unreadable}
        good = self._quarantine.restore(remembered.held, stored)
        is_free = [r for r in found.resources if not self._quarantine.is_held(r.id)]
        self._world.apply(Change((*is_free, *good)))
        for unread in unreadable:
            if not self._quarantine.is_held(unread.id):
                self._quarantine.hold_unread(unread)
        self._lost = {held.id for held in self._quarantine.held() if held.is_bereft}
        known = remembered.proved if remembered.by == by else frozenset()
        marks = {r.id: digest(r.written) for kind in PROVED for r in is_free if r.id.kind == kind}
        self._unproved = {i: mark for i, mark in marks.items() if mark not in known}
        self._unproved |= dict.fromkeys((h.id for h in self._quarantine.held()), "")
        return len(self._world)

    async def begin(self) -> None:
        """Proves what is new to this Byway and its Envoy, for `START_S` at most."""
        until = self._clock.monotonic() + START_S
        n = len(self._unproved)
        while self._unproved and self._clock.monotonic() < until:
            await self._prove()
        if n:
            _log.info("stored objects proved", n=n - len(self._unproved), n_later=len(self._unproved))

    async def run(self, alone: asyncio.Lock, tell: Callable[[Judged], Awaitable[object]]) -> None:
        """Proves the rest while proxies are served, and keeps what is to be remembered, until cancelled."""
        while True:
            while self._unproved:
                async with alone:
                    await tell(await self._prove())
                await asyncio.sleep(_BREATH_S)
            if self._n_kept != self._quarantine.n_changes or self._clock.monotonic() - self._kept_at > _KEEP_S:
                await self.save()
            await asyncio.sleep(_LOOK_S)

    async def save(self) -> None:
        """Keeps what is proved and who is held; a failure is told in the log."""
        self._n_kept, self._kept_at = self._quarantine.n_changes, self._clock.monotonic()
        resources = [r for kind in PROVED for r in self._world.resources(kind) if self._is_proved(r)]
        kept = _Remembered(self.by, frozenset(digest(r.written) for r in resources), self._quarantine.held())
        try:
            await asyncio.to_thread(write_atomically, self._path, msgspec.json.encode(kept), 0o600)
        except (FaultError, RecursionError) as fault:
            _log.warning("proofs are not kept", fault=str(fault))

    async def _prove(self) -> Judged:
        """Proves some of what is left; who may not stand is held, at its last good version in the source's history."""
        verdict = await self._proved()
        self._lost |= {left.id for left in verdict.left_out}
        lost = {held.id for held in self._quarantine.held() if held.is_bereft and held.id in self._lost}
        self._lost.clear()
        if not lost:
            return verdict
        return both(verdict, await self._quarantine.recover(await earlier(self._source, self._revision, lost)))

    async def _proved(self) -> Judged:
        again = [held for held in self._quarantine.held() if self._unproved.pop(held.id, None) is not None]
        if again:
            tried = (readable(held.document) for held in again)
            return await self._quarantine.take(Incoming(tuple(r for r in tried if r is not None)))
        ids = list(islice(self._unproved, _AT_ONCE))
        marks = {i: self._unproved.pop(i) for i in ids}
        there = [r for i, mark in marks.items() if (r := self._world.resource(i)) and digest(r.written) == mark]
        wide = [r for r in self._wide() if r.id not in marks]
        return await self._quarantine.examine(tuple(there), tuple(wide))

    def _wide(self) -> tuple[Resource, ...]:
        """What shapes everything, and may be to blame for the refusal of anything."""
        return self._world.resources("MeshConfig")

    def _is_proved(self, resource: Resource) -> bool:
        return resource.id not in self._unproved and not self._quarantine.is_held(resource.id)

    def _remembered(self) -> _Remembered:
        try:
            return decoded(self._path.read_bytes(), _Remembered)
        except FileNotFoundError:
            return _Remembered()
        except (OSError, msgspec.MsgspecError) as fault:
            _log.warning("proofs are lost, and made again", file=str(self._path), fault=str(fault))
            return _Remembered()
