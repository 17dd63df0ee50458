"""Proof: what Envoy says to a change that the database holds, and which objects are to blame for what it refuses.

Every structural resource that the change touches is shown to the prover, each alone, so the refused resources are known.
To blame are those of the change's objects that it was derived from and without whom it is taken: the change is tried with
some of them left out (`byway.explain.guilt`). Who is to blame is taken out of the database, and the rest is proved again,
until nothing of it is refused. No answer of Envoy's is asked for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from byway.ads.prover import Unproven
from byway.engine import Database, Root
from byway.explain.causes import causes
from byway.explain.guilt import culprits
from byway.kinds.resource import ResourceId
from byway.world.change import Change
from byway.world.host import World
from byway.xds.proof import probes, provable
from byway.xds.resource import Resource

_AT_ONCE: Final = 50
"""Resources that are looked at before others have their turn on the event loop."""
_MOST_TRIALS: Final = 200
"""Of one change; when they are used up, all that a refused resource comes of are to blame."""


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


class Guilt(msgspec.Struct, frozen=True, kw_only=True):
    """Why objects of a change may not be in the mesh, together or alone.

    `name` is the refused resource, `rests_on` every object that it was derived from. Not `is_alone`: it is refused without
    them as well.
    """

    ids: frozenset[ResourceId]
    name: str
    reason: str
    rests_on: frozenset[ResourceId]
    is_alone: bool = True


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What came out: who is to blame, what has no answer, what stands of the change, and the keys that differ now."""

    guilts: tuple[Guilt, ...]
    unproven: tuple[Guilt, ...]
    change: Change
    changed: frozenset[Root]


class Proofs:
    """Examines changes, one at a time; its caller holds the only lock and has the sessions wait."""

    def __init__(self, database: Database, world: World, prover: Prover | None) -> None:
        self._database = database
        self._world = world
        self._prover = prover

    async def examined(
        self, change: Change, undo: Change, roots: Sequence[Root] | None = None, *, is_strict: bool = True
    ) -> Examined:
        """Examines a change that has been made, and of which `undo` is the inverse; takes out who is to blame.

        `roots` are what is proved besides what changed for those who read; None: what the objects of the change shape.
        `is_strict`: what is refused without the change as well is held against it all the same.
        """
        examination = _Examination(self._database, self._world, self._prover, change, undo, is_strict=is_strict)
        return await examination.run(roots)


class _Verdict(msgspec.Struct, frozen=True):
    reason: str
    is_unproven: bool


class _Examination:
    """One change under examination. The world always holds `change`: what has not been taken out of it."""

    def __init__(
        self,
        database: Database,
        world: World,
        prover: Prover | None,
        change: Change,
        undo: Change,
        *,
        is_strict: bool,
    ) -> None:
        self._database = database
        self._world = world
        self._prover = prover
        self._undo = undo
        self._is_strict = is_strict
        self.change = change
        self._verdicts: dict[Resource, _Verdict | None] = {}
        self._n_trials = 0
        self._innocent: set[Root] = set()  # refused, but not because of the change

    async def run(self, roots: Sequence[Root] | None) -> Examined:
        changed: dict[Root, None] = {}
        guilts: list[Guilt] = []
        unproven: list[Guilt] = []
        while True:
            changed.update(dict.fromkeys(self._database.changed()))
            shaped = probes(self._database, self.change.ids) if roots is None else roots
            refused = await self._refused(dict.fromkeys((*changed, *shaped)))
            unproven = [self._guilt(r, v, self._suspects(r)) for r, v in refused.items() if v.is_unproven]
            refusals = [r for r, v in refused.items() if not v.is_unproven and r not in self._innocent]
            found = await self._blamed(refusals)
            guilts.extend(found)
            if not found:
                break
        return Examined(guilts=tuple(guilts), unproven=tuple(unproven), change=self.change, changed=frozenset(changed))

    async def _blamed(self, refused: Iterable[Root]) -> list[Guilt]:
        """Who is to blame for these refusals, as far as one is not mended by what was taken out for another."""
        found: list[Guilt] = []
        for root in refused:
            verdict = (await self._refused({root: None})).get(root)
            if verdict is None or verdict.is_unproven:
                continue
            suspects = self._suspects(root)
            ids = await self._culprits(root, suspects)
            if not ids:
                self._innocent.add(root)
            if ids or (self._is_strict and suspects):
                guilt = self._guilt(root, verdict, ids or suspects)
                found.append(msgspec.structs.replace(guilt, is_alone=bool(ids)))
                self._take_out(guilt.ids)
        return found

    def _suspects(self, root: Root) -> tuple[ResourceId, ...]:
        """The objects of the change that the root was derived from; a removal leaves no such trace."""
        ids = self.change.ids
        return tuple(i for i in causes(self._database, root) if i in ids) or tuple(sorted(ids))

    async def _culprits(self, root: Root, suspects: tuple[ResourceId, ...]) -> frozenset[ResourceId]:
        inquiry = culprits(suspects)
        tried = next(inquiry)
        while self._n_trials < _MOST_TRIALS:
            self._n_trials += 1
            try:
                tried = inquiry.send(await self._is_refused(root, frozenset(suspects) - tried))
            except StopIteration as end:
                found: frozenset[ResourceId] = end.value
                return found
        return frozenset(suspects)

    async def _is_refused(self, root: Root, without: frozenset[ResourceId]) -> bool:
        """Whether the resource is refused where these objects of the change are as before."""
        self._world.apply(self._undo.only(without))
        try:
            verdicts = await self._refused({root: None})
        finally:
            self._world.apply(self.change.only(without))
        return any(not verdict.is_unproven for verdict in verdicts.values())

    def _take_out(self, ids: frozenset[ResourceId]) -> None:
        self._world.apply(self._undo.only(ids))
        self.change = self.change.without(ids)

    def _guilt(self, root: Root, verdict: _Verdict, ids: Iterable[ResourceId]) -> Guilt:
        value = root.value(self._database)
        name = value.name if isinstance(value, Resource) else str(root.args[-1])
        rests_on = frozenset(causes(self._database, root))
        return Guilt(ids=frozenset(ids), name=name, reason=verdict.reason, rests_on=rests_on)

    async def _refused(self, roots: Iterable[Root]) -> dict[Root, _Verdict]:
        """Those of `roots` whose resources Envoy does not take."""
        resources: dict[Root, Resource] = {}
        for n, root in enumerate(roots):
            if n % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            value = root.value(self._database)
            candidate = provable(value) if isinstance(value, Resource) else None
            if candidate is not None:
                resources[root] = candidate
        await self._ask(tuple(dict.fromkeys(r for r in resources.values() if r not in self._verdicts)))
        verdicts = {root: self._verdicts[resource] for root, resource in resources.items()}
        return {root: verdict for root, verdict in verdicts.items() if verdict is not None}

    async def _ask(self, resources: tuple[Resource, ...]) -> None:
        if not resources:
            return
        findings = await self._prover.prove(resources) if self._prover is not None else ()
        self._verdicts.update(dict.fromkeys(resources))
        for found in findings:
            self._verdicts[found.resource] = _Verdict(" ".join(found.reason.split()), isinstance(found, Unproven))
