"""Quarantine: objects that are not in force as they are stored, because Envoy, or this Byway, does not take them.

What an operator applies here is proved before it is stored. Other objects come without an author to send back to: out of
the store, written by another Byway or for another Envoy, and from another control plane. They are judged like his, and one
that may not stand is held: in the world it stays as it was last good, or is absent, while everything else goes out. An
access policy that was never good is stood in for by one that lets nobody in: what cannot be read must not open a door.

What is held is tried again when something changes that its refusal depended on, and given up when it is written anew or
deleted. It is remembered in a file, with its last good version, so that a restart does not lose that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Final

import msgspec
import structlog

from byway.app.intake import Incoming, Unreadable
from byway.app.proposal import Judged, LeftOut, Proposals
from byway.base.clock import Clock
from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.decode import decode
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId
from byway.world.change import Change
from byway.world.host import World

_UNTRIED: Final = frozenset({"WorkloadEntry"})
"""Kinds that come and go too often for anything to be tried again because of them."""
_GUARDING: Final = "AuthorizationPolicy"
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

        The verdict has the keys that are to be published.
        """
        removed = tuple(i for i in removes if self.is_held(i) or self._world.resource(i) is not None)
        coming = {r.id: r for r in incoming.resources if self.is_held(r.id) or self._differs(r)}
        touched = {*coming, *removed, *(u.id for u in incoming.unreadable)}
        retried = {r.id: r for r in self._affected(touched) if r.id not in touched}
        change = Change((*coming.values(), *retried.values()), removed)
        verdict, _ = await self._proposals.judge(change, is_authored=False)
        out = {o.id: o for o in verdict.left_out}
        self.release(i for i in (*coming, *removed, *retried) if i not in out)
        documents = {i: r.document for i, r in (*coming.items(), *retried.items())}
        for left in verdict.left_out:
            if (
                left.id in documents
            ):  # a deletion that may not be is none: it is tried again when the mesh is loaded anew
                self._hold(left, documents[left.id])
        for unread in incoming.unreadable:
            self.hold_unread(unread)
        return self._shown(verdict)

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
                self._held[held.id] = held
                in_force = decode(held.good).value if held.good is not None else None
                good += [in_force] if in_force is not None else []
        return tuple(good)

    def hold_unread(self, unread: Unreadable) -> None:
        """Holds an object that does not decode; what the world has of it is what is in force."""
        self._hold(LeftOut(unread.id, unread.diagnostic), unread.document)

    async def examine(self, resources: tuple[Resource, ...], wide: tuple[Resource, ...] = ()) -> Judged:
        """Proves what has been in the world without a proof, with `wide`, which may be to blame as well.

        Who may not stand is held, with nothing of it in force.
        """
        verdict = await self._proposals.inspect(resources, wide)
        documents = {r.id: r.document for r in (*resources, *wide)}
        for left in verdict.left_out:
            self._hold(left, documents[left.id])
        return self._shown(verdict)

    def stand_in(self) -> None:
        """Puts the stand-ins into the world that are missing there."""
        made = self._stand_ins()
        if made:
            self._world.apply(Change(made))

    # --- inside ---

    def _shown(self, verdict: Judged) -> Judged:
        """Lets the sessions see what the world has come to."""
        self.stand_in()
        return msgspec.structs.replace(verdict, changed=verdict.changed | self._proposals.keep())

    def _differs(self, resource: Resource) -> bool:
        here = self._world.resource(resource.id)
        return here is None or here.document.body != resource.document.body

    def _affected(self, touched: Set[ResourceId]) -> tuple[Resource, ...]:
        """Who is to be tried again, now that `touched` have changed."""
        telling = frozenset(i for i in touched if i.kind not in _UNTRIED)
        held = (h for h in self._held.values() if telling & h.rests_on)
        decoded = (decode(h.document).value for h in held)
        return tuple(resource for resource in decoded if resource is not None)

    def _hold(self, left: LeftOut, document: Document) -> None:
        before = self._held.get(left.id)
        good = self._world.resource(left.id)
        is_stand_in = before is not None and before.is_stand_in
        since = before.since if before is not None and before.document.body == document.body else self._now()
        self._held[left.id] = Held(
            id=left.id,
            document=document,
            diagnostic=_quarantined(left, document, _in_force(good, is_stand_in=is_stand_in)),
            since=since,
            good=good.document if good is not None else None,
            is_stand_in=is_stand_in,
            rests_on=left.rests_on - {left.id},
        )
        self.n_changes += 1
        _log.error("resource held in quarantine", diagnostic=str(self._held[left.id].diagnostic))

    def _stand_ins(self) -> tuple[Resource, ...]:
        """For access policies of which nothing is in force."""
        made = []
        for held in [h for h in self._held.values() if h.id.kind == _GUARDING and h.good is None]:
            resource = _closed(held)
            text = held.diagnostic.message.replace(_NOTHING, _CLOSED, 1)
            diagnostic = msgspec.structs.replace(held.diagnostic, message=text)
            self._held[held.id] = msgspec.structs.replace(
                held, good=resource.document, is_stand_in=True, diagnostic=diagnostic
            )
            made.append(resource)
        return tuple(made)

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")


_NOTHING: Final = "nothing of it is in force"
_EARLIER: Final = "its last good version is in force"
_CLOSED: Final = "a policy that lets nobody in is in force"


def in_force(held: Held) -> str:
    """What is in force in the place of what is stored, in words."""
    return _CLOSED if held.is_stand_in else _NOTHING if held.good is None else _EARLIER


def _in_force(good: Resource | None, *, is_stand_in: bool) -> str:
    return _CLOSED if is_stand_in else _NOTHING if good is None else _EARLIER


def _quarantined(left: LeftOut, document: Document, force: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code="quarantined",
        message=f"in quarantine, {force}: {left.diagnostic.message}",
        position=left.diagnostic.position or document.position("spec"),
        hint="apply a version that can be taken, or delete it",
        subject=str(left.id),
    )


def _closed(held: Held) -> Resource:
    """A policy for the workloads that the held one selects, or for all of its namespace, which lets nobody in."""
    body = held.document.body
    spec = body.get("spec")
    selector = spec.get("selector") if isinstance(spec, dict) else None
    header = {"apiVersion": "security.istio.io/v1", "kind": _GUARDING}
    named = {**header, "metadata": {"name": held.id.name, "namespace": held.id.namespace}}
    for content in ({"selector": selector} if selector else {}, {}):
        resource = decode(msgspec.structs.replace(held.document, body={**named, "spec": content})).value
        if resource is not None:
            return resource
    raise AssertionError(f"{held.id} has no name that can be written")
