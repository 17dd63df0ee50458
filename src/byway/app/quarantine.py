"""Quarantine: objects that are not in force as they are stored, because Envoy, or this Byway, does not take them.

What an operator applies here is proved before it is stored. Other objects come without an author to send back to: out of
the store, written by another Byway or for another Envoy, and from another control plane. They are judged like his, and one
that may not stand is held: in the world it stays as it was last good, or is absent, while everything else goes out. What
guards a door and was never good has a stand-in (`app.stand_in`): what cannot be read must not open a door.

What is held is tried again when something changes that its refusal depended on, and given up when it is written anew or
deleted. It is remembered in a file, with its last good version, so that a restart does not lose that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

import msgspec
import structlog

from byway.app.intake import Incoming, Unreadable, readable
from byway.app.proposal import NOTHING, Judged, LeftOut, Proposals, both
from byway.app.stand_in import CLOSED, stand_in
from byway.base.clock import Clock, timestamp
from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId
from byway.world.change import Change
from byway.world.host import World

_UNTRIED: Final = frozenset({"WorkloadEntry"})
"""Kinds that come and go too often for anything to be tried again because of them."""
_log = structlog.get_logger("byway.quarantine")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One object in quarantine: as it is stored, and why it is not in force.

    `good` is what is in force in its place, None where nothing is; `is_stand_in`: it was never written so by anybody.
    `since` is RFC 3339 in UTC.
    """

    id: ResourceId
    document: Document
    diagnostic: Diagnostic
    since: str
    good: Document | None = None
    is_stand_in: bool = False
    rests_on: frozenset[ResourceId] = frozenset()

    @property
    def is_bereft(self) -> bool:
        """Whether nothing of it that anybody wrote is in force."""
        return self.good is None or self.is_stand_in


class Quarantine:
    """See the module. Its caller holds the only lock where something is awaited."""

    def __init__(self, world: World, proposals: Proposals, clock: Clock) -> None:
        self._world = world
        self._proposals = proposals
        self._clock = clock
        self._held: dict[ResourceId, Held] = {}
        self.n_changes = 0
        """Grows whenever somebody is held or released."""

    # --- what others may see ---

    def __len__(self) -> int:
        return len(self._held)

    def is_held(self, resource_id: ResourceId) -> bool:
        """Whether another version of the object than the stored one is in force, or none."""
        return resource_id in self._held

    def held(self, kind: str = "") -> tuple[Held, ...]:
        """Who is held, of a kind or of all, sorted."""
        return tuple(self._held[i] for i in sorted(self._held) if kind in ("", i.kind))

    # --- who comes and goes ---

    def release(self, ids: Iterable[ResourceId]) -> None:
        """These have been written anew, or deleted, with success."""
        for resource_id in ids:
            if self._held.pop(resource_id, None) is not None:
                self.n_changes += 1

    async def take(self, incoming: Incoming, removes: Iterable[ResourceId] = ()) -> Judged:
        """Takes what has no author here; what may not stand is held, everything else stands, and the sessions see it.

        The verdict has the keys that are to be published. Whatever the objects hold, nothing is raised because of them.
        """
        removed = tuple(i for i in removes if self.is_held(i) or self._world.resource(i) is not None)
        coming = {r.id: r for r in incoming.resources if self.is_held(r.id) or not self._world.holds(r.id, r.document)}
        touched = {*coming, *removed, *(u.id for u in incoming.unreadable)}
        retried = {r.id: r for r in self._affected(touched) if r.id not in touched}
        change = Change((*coming.values(), *retried.values()), removed)
        verdict = await self._judged(change)
        try:
            out = {o.id: o for o in verdict.left_out}
            self.release(i for i in (*coming, *removed, *retried) if i not in out)
            documents = {i: r.document for i, r in (*coming.items(), *retried.items())}
            for left in verdict.left_out:
                # A deletion that may not be is none: it is tried again when the mesh is loaded anew.
                if left.id in documents:
                    self._hold(left, documents[left.id])
            for unread in incoming.unreadable:
                self.hold_unread(unread)
        finally:
            shown = self._shown(verdict)
        return shown

    async def retry(self, touched: Set[ResourceId]) -> Judged | None:
        """Tries those again whose refusal depended on objects that have changed; None where there are none."""
        affected = self._affected(touched)
        return await self.take(Incoming(affected)) if affected else None

    # --- across restarts ---

    def restore(self, remembered: Iterable[Held], stored: Mapping[ResourceId, Document]) -> tuple[Resource, ...]:
        """Holds who was held and is still stored as then; returns what is in force instead."""
        good = []
        for held in remembered:
            if held.id in stored and stored[held.id].body == held.document.body:
                was = readable(held.good) if held.good is not None and not held.is_stand_in else None
                self._held[held.id] = self._filled(held, was)
                good += [was] if was is not None else []
        return tuple(good)

    async def recover(self, earlier: Mapping[ResourceId, Sequence[Resource]]) -> Judged:
        """Puts the first of these versions that may stand in force, for who is held and has nothing in force."""
        verdict = NOTHING
        for resource_id, versions in earlier.items():
            for version in versions:
                held = self._held.get(resource_id)
                if held is None or not held.is_bereft:
                    break
                if version.document.body == held.document.body:
                    continue
                tried = await self._judged(Change((version,)))
                if not tried.left_out:
                    self._held[resource_id] = self._filled(held, version)
                    self.n_changes += 1
                    _log.info("last good version found in the store", resource=str(resource_id))
                verdict = both(verdict, self._shown(tried))
        return verdict

    def hold_unread(self, unread: Unreadable) -> None:
        """Holds an object that does not decode; what the world has of it is what is in force."""
        self._hold(LeftOut(unread.id, unread.diagnostic), unread.document)

    async def examine(self, resources: tuple[Resource, ...], wide: tuple[Resource, ...] = ()) -> Judged:
        """Proves what has been in the world without a proof, with `wide`, which may be to blame as well.

        Who may not stand is held, with nothing of it in force.
        """
        verdict = await self._inspected(resources, wide)
        try:
            documents = {r.id: r.document for r in (*resources, *wide)}
            for left in verdict.left_out:
                self._hold(left, documents[left.id])
        finally:
            shown = self._shown(verdict)
        return shown

    # --- inside ---

    async def _judged(self, change: Change) -> Judged:
        """The verdict; where judging fails, halves are judged, and what it fails for alone is left out."""
        try:
            verdict, _ = await self._proposals.judge(change, is_authored=False)
            return verdict
        except Exception as fault:  # noqa: BLE001 - no author can be told, and nobody else may go without because of it
            _log.exception("change cannot be judged", n=len(change.ids))
            ids = sorted(change.ids)
            if len(ids) <= 1:
                return msgspec.structs.replace(NOTHING, left_out=tuple(_failed(i, fault) for i in ids))
            one, other = (change.only(half) for half in _halves(ids))
            return both(await self._judged(one), await self._judged(other))

    async def _inspected(self, resources: tuple[Resource, ...], wide: tuple[Resource, ...]) -> Judged:
        """As `_judged`, of what is in the world; what is left out is out of it afterwards."""
        try:
            return await self._proposals.inspect(resources, wide)
        except Exception as fault:  # noqa: BLE001 - as there
            _log.exception("stored objects cannot be proved", n=len(resources))
            if len(resources) <= 1:
                out = tuple(_failed(r.id, fault) for r in resources)
                self._world.apply(Change((), tuple(left.id for left in out)))
                return msgspec.structs.replace(NOTHING, left_out=out)
            middle = len(resources) // 2
            one = await self._inspected(resources[:middle], wide)
            gone = {left.id for left in one.left_out}
            return both(one, await self._inspected(resources[middle:], tuple(r for r in wide if r.id not in gone)))

    def _shown(self, verdict: Judged) -> Judged:
        """Lets the sessions see what the world has come to."""
        return msgspec.structs.replace(verdict, changed=verdict.changed | self._proposals.keep())

    def _affected(self, touched: Set[ResourceId]) -> tuple[Resource, ...]:
        """Who is to be tried again, now that `touched` have changed."""
        telling = frozenset(i for i in touched if i.kind not in _UNTRIED)
        held = (h for h in self._held.values() if telling & h.rests_on)
        decoded = (readable(h.document) for h in held)
        return tuple(resource for resource in decoded if resource is not None)

    def _hold(self, left: LeftOut, document: Document) -> None:
        before = self._held.get(left.id)
        good = self._world.resource(left.id) if before is None or not before.is_stand_in else None
        since = before.since if before is not None and before.document.body == document.body else self._now()
        held = Held(
            id=left.id,
            document=document,
            diagnostic=left.diagnostic,
            since=since,
            rests_on=left.rests_on - {left.id},
        )
        self._held[left.id] = self._filled(held, good, left.diagnostic)
        self.n_changes += 1
        _log.error("resource held in quarantine", diagnostic=str(self._held[left.id].diagnostic))

    def _filled(self, held: Held, good: Resource | None, reason: Diagnostic | None = None) -> Held:
        """Who is held, with what is in force instead: its good version, or a stand-in, which comes into the world.

        `reason` is why it is held, None where its diagnostic says so already, with what was in force.
        """
        closed = _stand_in(held) if good is None else None
        if closed is not None:
            self._world.apply(Change((closed,)))
        document = good.document if good is not None else closed.document if closed is not None else None
        filled = msgspec.structs.replace(held, good=document, is_stand_in=closed is not None)
        said = reason.message if reason is not None else held.diagnostic.message.removeprefix(_beginning(held))
        told = _quarantined(held, reason or held.diagnostic, f"{_beginning(filled)}{said}")
        return msgspec.structs.replace(filled, diagnostic=told)

    def _now(self) -> str:
        return timestamp(self._clock.now())


_NOTHING: Final = "nothing of it is in force"
_EARLIER: Final = "its last good version is in force"


def in_force(held: Held) -> str:
    """What is in force in the place of what is stored, in words."""
    if held.is_stand_in:
        return CLOSED.get(held.id.kind, _NOTHING)
    return _NOTHING if held.good is None else _EARLIER


def _beginning(held: Held) -> str:
    return f"in quarantine, {in_force(held)}: "


def _quarantined(held: Held, reason: Diagnostic, message: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code="quarantined",
        message=message,
        position=reason.position or (held.document.position("spec") if held.document.positions else None),
        hint="apply a version that can be taken, or delete it",
        subject=str(held.id),
    )


def _failed(resource_id: ResourceId, fault: Exception) -> LeftOut:
    message = f"Byway fails to judge it: {type(fault).__name__}"
    hint = "see the control plane's log, and report it"
    return LeftOut(resource_id, Diagnostic(code="not-judged", message=message, hint=hint, subject=str(resource_id)))


def _stand_in(held: Held) -> Resource | None:
    try:
        return stand_in(held.id, held.document)
    except Exception:  # noqa: BLE001 - what one object holds must not stop what all others need
        _log.exception("no stand-in can be made", resource=str(held.id))
        return None


def _halves(ids: Sequence[ResourceId]) -> tuple[frozenset[ResourceId], frozenset[ResourceId]]:
    middle = len(ids) // 2
    return frozenset(ids[:middle]), frozenset(ids[middle:])
