"""A proposal: a change that is tried in the database before anybody sees it, and taken back whole if it may not be.

The order is: make the change, look for mistakes among all resources, derive what it touches, have Envoy accept that, store
it, publish it. Until it is stored, every session waits; whatever fails on the way leaves things as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from byway.app.catalogue import MeshCatalogue
from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.analysis import findings
from byway.derive.listeners import wanted_inbound
from byway.derive.transition import Who, doors, shaped
from byway.engine import Database, Root
from byway.explain.causes import causes
from byway.kinds.resource import ResourceId
from byway.model.listener import Inbound
from byway.world.change import Change
from byway.world.host import World
from byway.xds.proof import probes, provable
from byway.xds.resource import Resource

_AT_ONCE = 50
"""Resources that are looked at before others have their turn on the event loop."""


class Refused(Protocol):
    """One resource that Envoy would not take."""

    @property
    def resource(self) -> Resource:
        """The resource as it was proved."""

    @property
    def reason(self) -> str:
        """Envoy's own words."""


class Prover(Protocol):
    """Whoever knows what Envoy accepts."""

    async def prove(self, resources: Sequence[Resource], /) -> Sequence[Refused]:
        """Those of `resources` that Envoy refuses."""


class Judged(msgspec.Struct, frozen=True):
    """The verdict: what was found, and, where nothing forbids it, the keys whose answers differ now.

    `moved` has the instances whose doors differ now, as they were before.
    """

    diagnostics: tuple[Diagnostic, ...]
    changed: frozenset[Root]
    moved: Mapping[Who, Inbound] = {}

    @property
    def is_accepted(self) -> bool:
        """Whether the change may stand."""
        return all(d.severity is not Severity.ERROR for d in self.diagnostics)


class Proposals:
    """Tries changes, one at a time; its caller holds the only lock."""

    def __init__(self, database: Database, world: World, catalogue: MeshCatalogue, prover: Prover | None) -> None:
        self._database = database
        self._world = world
        self._catalogue = catalogue
        self._prover = prover

    async def judge(self, change: Change) -> tuple[Judged, Change]:
        """Makes the change and judges it; returns the verdict and the inverse. The sessions wait from here on."""
        before = self._doors(change)
        self._catalogue.unsettle()
        undo = self._world.apply(change)
        try:
            found = await self._found(change)
            changed = self._database.changed()
            verdict = Judged(found, frozenset(changed))
            if verdict.is_accepted:
                found = (*found, *await self._proved(change, changed))
                verdict = Judged(found, frozenset(changed), self._moved(before))
        except BaseException:
            self.take_back(undo)
            raise
        return verdict, undo

    def take_back(self, undo: Change) -> None:
        """Makes everything as it was; nobody has seen the difference."""
        self._world.apply(undo)
        self._database.changed()
        self._catalogue.settle()

    def keep(self) -> None:
        """Lets the sessions see the change."""
        self._catalogue.settle()

    def _doors(self, change: Change) -> dict[Who, Inbound]:
        """What the instances accept that the change is about, by what is written and by what was, where anybody is there."""
        was = (self._world.resource(i) for i in change.ids)
        concerned = shaped(self._database, (*change.puts, *(r for r in was if r is not None)))
        read = sorted(who for who in concerned if self._catalogue.is_read(*who))
        sides = ((who, wanted_inbound(self._database, *who)) for who in read)
        return {who: side for who, side in sides if side is not None}

    def _moved(self, before: Mapping[Who, Inbound]) -> dict[Who, Inbound]:
        after = ((who, wanted_inbound(self._database, *who)) for who in before)
        return {who: before[who] for who, side in after if side is not None and doors(side) != doors(before[who])}

    async def _proved(self, change: Change, changed: Sequence[Root]) -> list[Diagnostic]:
        if self._prover is None:
            return []
        roots: dict[Resource, Root] = {}
        for n, root in enumerate((*changed, *probes(self._database, change.ids))):
            if n % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            value = root.value(self._database)
            candidate = provable(value) if isinstance(value, Resource) else None
            if candidate is not None:
                roots.setdefault(candidate, root)
        refusals = await self._prover.prove(tuple(roots))
        return [self._blame(change, roots[r.resource], r.resource.name, r.reason) for r in refusals]

    async def _found(self, change: Change) -> tuple[Diagnostic, ...]:
        """What is wrong with the changed resources; health checks and certificates have their turn in between."""
        found: list[Diagnostic] = []
        for n, resource_id in enumerate(sorted(change.ids)):
            if n % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            found.extend(findings(self._database, resource_id))
        return tuple(found)

    def _blame(self, change: Change, root: Root, name: str, reason: str) -> Diagnostic:
        """Envoy's reason at the object that caused it: the one of the change that the refused resource was derived from."""
        culprits = [i for i in causes(self._database, root) if i in change.ids] or sorted(change.ids)
        culprit: ResourceId = culprits[0]
        resource = self._world.resource(culprit)
        return Diagnostic(
            code="refused-by-envoy",
            message=f"Envoy refuses {name}, which comes of this: {reason}",
            position=resource.position("spec") if resource else None,
            hint="the mesh was left as it was",
            subject=str(culprit),
        )
