"""A proposal: a change that is tried in the database before anybody sees it, and taken back if it may not be.

The order is: make the change, look for mistakes among all resources, derive what it touches, have Envoy accept that, store
it, publish it. Until it is stored, every session waits; whatever fails on the way leaves things as they were. What is wrong
is taken out on the way, each object for itself: whoever asked decides whether the rest may stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from byway.app.catalogue import MeshCatalogue
from byway.app.proof import Guilt, Proofs, Prover
from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.analysis import findings
from byway.derive.listeners import wanted_inbound
from byway.derive.transition import Who, doors, shaped
from byway.engine import Database, Root
from byway.explain.fields import field_named
from byway.kinds.resource import Resource, ResourceId
from byway.model.listener import Inbound
from byway.world.change import Change
from byway.world.host import World
from byway.xds.proof import probes

_AT_ONCE: Final = 50
"""Resources that are looked at before others have their turn on the event loop."""


class LeftOut(msgspec.Struct, frozen=True):
    """An object of a change that may not stand, and why; `rests_on` are the objects that this depends on."""

    id: ResourceId
    diagnostic: Diagnostic
    rests_on: frozenset[ResourceId] = frozenset()


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict: what was found, what stands of the change, and the keys whose answers differ now.

    `left_out` are the objects that do not. `moved` has the instances whose
    doors differ now, as they were before.
    """

    diagnostics: tuple[Diagnostic, ...]
    change: Change
    changed: frozenset[Root]
    left_out: tuple[LeftOut, ...] = ()
    moved: Mapping[Who, Inbound] = {}

    @property
    def is_accepted(self) -> bool:
        """Whether the whole change may stand."""
        return all(d.severity is not Severity.ERROR for d in self.diagnostics)

    @property
    def is_sound_without_left_out(self) -> bool:
        """Whether for all that is wrong something was left out."""
        errors = {d.subject for d in self.diagnostics if d.severity is Severity.ERROR}
        return errors <= {str(out.id) for out in self.left_out}


NOTHING: Final = Judged(diagnostics=(), change=Change(), changed=frozenset())


def both(one: Judged, other: Judged) -> Judged:
    """Two verdicts, of one after the other, as one."""
    return Judged(
        diagnostics=(*one.diagnostics, *other.diagnostics),
        change=Change((*one.change.puts, *other.change.puts), (*one.change.removes, *other.change.removes)),
        changed=one.changed | other.changed,
        left_out=(*one.left_out, *other.left_out),
        moved={**other.moved, **one.moved},
    )


class Proposals:
    """Tries changes, one at a time; its caller holds the only lock."""

    def __init__(self, database: Database, world: World, catalogue: MeshCatalogue, prover: Prover | None) -> None:
        self._database = database
        self._world = world
        self._catalogue = catalogue
        self._proofs = Proofs(database, world, prover)
        self.is_shared = False  # with other control planes, whose proxies' doors count as well

    async def judge(self, change: Change, *, is_authored: bool = True) -> tuple[Judged, Change]:
        """Makes the change and judges it; returns the verdict and the inverse. The sessions wait from here on.

        In the database stands afterwards what nothing was found against. Of what has no author to come back to, that Envoy
        gives no answer is nothing against it: somebody had it proved before.
        """
        before = self._doors(change)
        self._catalogue.unsettle()
        undo = self._world.apply(change)
        try:
            verdict = await self._judged(change, undo, is_authored=is_authored)
            return msgspec.structs.replace(verdict, moved=self._moved(before)), undo
        except BaseException:
            self.take_back(undo)
            raise

    async def inspect(self, resources: tuple[Resource, ...], wide: tuple[Resource, ...]) -> Judged:
        """Judges what is in the world already, with `wide`, which may be to blame as well. The sessions wait from here on.

        What Envoy refuses is out of the world afterwards.
        """
        self._catalogue.unsettle()
        change = Change((*resources, *wide))
        undo = Change((), tuple(r.id for r in change.puts))
        roots = tuple(probes(self._database, [r.id for r in resources]))
        try:
            examined = await self._proofs.examined(change, undo, roots, is_strict=False)
        except BaseException:
            self.take_back(change)
            raise
        out = [LeftOut(i, _blame(change, i, g), g.rests_on) for g in examined.guilts for i in sorted(g.ids)]
        return Judged(diagnostics=(), change=examined.change, changed=examined.changed, left_out=tuple(out))

    async def _judged(self, change: Change, undo: Change, *, is_authored: bool) -> Judged:
        found = await self._found(change)
        wrong = {d.subject: d for d in reversed(found) if d.severity is Severity.ERROR}
        out = [LeftOut(i, wrong[str(i)]) for i in sorted(change.ids) if str(i) in wrong]
        left = change.without({o.id for o in out})
        if out:
            self._world.apply(undo.only({o.id for o in out}))
        if out and is_authored and not left.ids:
            return Judged(
                diagnostics=found, change=left, changed=frozenset(self._database.changed()), left_out=tuple(out)
            )
        examined = await self._proofs.examined(left, undo, is_strict=is_authored)
        guilty = [LeftOut(i, _blame(change, i, g), g.rests_on) for g in examined.guilts for i in sorted(g.ids)]
        unproven = [_unproven(change, g) for g in examined.unproven] if is_authored else []
        return Judged(
            diagnostics=(*found, *(o.diagnostic for o in guilty), *unproven),
            change=examined.change,
            changed=examined.changed,
            left_out=(*out, *guilty),
        )

    def take_back(self, undo: Change) -> None:
        """Makes everything as it was; nobody has seen the difference."""
        self._world.apply(undo)
        self._database.changed()
        self._catalogue.settle()

    def keep(self) -> frozenset[Root]:
        """Lets the sessions see the change; the keys that differ since it was judged."""
        changed = frozenset(self._database.changed())
        self._catalogue.settle()
        return changed

    def _doors(self, change: Change) -> dict[Who, Inbound]:
        """What the instances accept that the change is about, by what is written and by what was, where anybody is there."""
        was = (self._world.resource(i) for i in change.ids)
        concerned = shaped(self._database, (*change.puts, *(r for r in was if r is not None)))
        read = sorted(who for who in concerned if self.is_shared or self._catalogue.is_read(*who))
        sides = ((who, wanted_inbound(self._database, *who)) for who in read)
        return {who: side for who, side in sides if side is not None}

    def _moved(self, before: Mapping[Who, Inbound]) -> dict[Who, Inbound]:
        after = ((who, wanted_inbound(self._database, *who)) for who in before)
        return {who: before[who] for who, side in after if side is not None and doors(side) != doors(before[who])}

    async def _found(self, change: Change) -> tuple[Diagnostic, ...]:
        """What is wrong with the changed resources; health checks and certificates have their turn in between."""
        found: list[Diagnostic] = []
        for n, resource_id in enumerate(sorted(change.ids)):
            if n % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            found.extend(findings(self._database, resource_id))
        return tuple(found)


def _blame(change: Change, culprit: ResourceId, guilt: Guilt) -> Diagnostic:
    """Envoy's reason at the object that caused it, at the field that its words are about where they say so."""
    resource = next((r for r in change.puts if r.id == culprit), None)
    others = ", ".join(str(i) for i in sorted(guilt.ids) if i != culprit)
    source = f"this together with {others}" if others else "this"
    source += "" if guilt.is_alone else " and is refused without it, too"
    return Diagnostic(
        code="refused-by-envoy",
        message=f"Envoy refuses {guilt.name}, which comes of {source}: {guilt.reason}",
        position=resource.position(field_named(resource.document, guilt.reason)) if resource else None,
        hint="what was in force before stays in force",
        subject=str(culprit),
    )


def _unproven(change: Change, guilt: Guilt) -> Diagnostic:
    """What Envoy said nothing about, at the first object that it comes of."""
    culprit = min(guilt.ids, default=None)
    resource = next((r for r in change.puts if r.id == culprit), None)
    return Diagnostic(
        code="not-proved",
        message=f"Envoy gives no answer about {guilt.name}, which comes of this: {guilt.reason}",
        position=resource.position("spec") if resource else None,
        hint="the mesh was left as it was; see the control plane's log, and `byway check`",
        subject=str(culprit) if culprit else "",
    )
