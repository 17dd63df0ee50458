"""Writing: the only way into the mesh's resources, for the API, the command line and the mesh's own start.

All documents of a write are taken or none. What is acknowledged is stored, proved, and on its way to the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Set
from typing import Literal

import msgspec

from byway.admin.port import Change as Reported
from byway.admin.port import NotFoundError, Outcome, ProxyRefusal, RolloutReport, SourceText, Target
from byway.ads.hub import Hub
from byway.ads.rollout import Nack, Rollout, RolloutResult
from byway.app.following import Following
from byway.app.kindname import kind_named, plural
from byway.app.nametable import NamesListener, NameTable
from byway.app.partial import answered, missing, without_refused
from byway.app.proposal import Judged, Proposals
from byway.app.quarantine import Quarantine
from byway.app.reading import named, read
from byway.app.staging import Staged, Staging
from byway.app.standing import SHAPES
from byway.app.turns import Turns
from byway.base.clock import SystemClock
from byway.base.diagnostics import Diagnostic, Severity
from byway.base.wording import counted
from byway.engine import Database
from byway.kinds.decode import decode
from byway.kinds.document import Document
from byway.kinds.kubernetes.service import HEADLESS
from byway.kinds.resource import Resource, ResourceId
from byway.sources.admission import addresses, admitted
from byway.sources.errors import CommitRefused, RevisionConflict
from byway.sources.source import Put, Source
from byway.world.change import Change
from byway.world.host import World

_ACK_LIMIT_S = 10.0
_MOST_TRIES = 5
"""Where another control plane is first, what is there now is taken, and the change proposed again."""


class _Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a write is done; see `Writer.apply`. `unreadable` is left out from the start."""

    dry_run: bool
    bake_s: float | None = None
    keep_going: bool = False
    unreadable: tuple[ResourceId, ...] = ()


class Writer:
    """Takes writes one after another."""

    def __init__(
        self,
        database: Database,
        world: World,
        source: Source,
        proposals: Proposals,
        hub: Hub,
        tell_names: NamesListener,
        staging: Staging,
    ) -> None:
        self._database = database
        self._world = world
        self._proposals = proposals
        self._hub = hub
        self.turns = Turns(database, hub)
        self._staging = staging
        self.names = NameTable(database, tell_names)
        self.quarantine = Quarantine(world, proposals, SystemClock())
        self.following = Following(world, source, self.quarantine, hub, self.turns, self.names)
        self._turn = asyncio.Lock()

    async def apply(
        self,
        sources: tuple[SourceText, ...],
        namespace: str,
        *,
        dry_run: bool,
        bake_s: float | None = None,
        keep_going: bool = False,
    ) -> Outcome:
        """Puts the resources of some files; by stages, each watched so long, where `bake_s` is given.

        `keep_going`: what is wrong is left out, and does not keep the others out.
        """
        found = await asyncio.to_thread(read, sources, namespace)  # a long text must not hold up the streams
        if not found.is_usable and not (keep_going and found.resources):
            return Outcome(diagnostics=found.diagnostics)
        manner = _Manner(dry_run=dry_run, bake_s=bake_s, keep_going=keep_going, unreadable=found.unreadable)
        async with self._turn:
            return await self._write(Change(found.resources), found.diagnostics, manner)

    async def delete(self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Removes the resources that some files name; one that is not there is no mistake."""
        held = {held.id: held.document for held in self.quarantine.held()}
        found = await asyncio.to_thread(named, sources, namespace, held)  # a long text must not hold up the streams
        if not found.is_usable:
            return Outcome(diagnostics=found.diagnostics)
        async with self._turn:
            ids = tuple(i for i in found.documents if self._is_stored(i))
            absent = [_absent(i, document) for i, document in found.documents.items() if i not in ids]
            return await self._write(Change((), ids), (*found.diagnostics, *absent), _Manner(dry_run=dry_run))

    async def delete_ids(self, ids: tuple[ResourceId, ...], *, dry_run: bool) -> Outcome:
        """Removes resources by their ids; all must be there."""
        async with self._turn:
            absent = tuple(_absent(i, None, Severity.ERROR) for i in ids if not self._is_stored(i))
            if absent:
                return Outcome(diagnostics=absent)
            return await self._write(Change((), ids), (), _Manner(dry_run=dry_run))

    async def _write(self, asked: Change, diagnostics: tuple[Diagnostic, ...], manner: _Manner) -> Outcome:
        for _ in range(_MOST_TRIES):
            try:
                return await self._tried(asked, diagnostics, manner)
            except RevisionConflict as conflict:
                async with self.following.alone:
                    await self.following.catch_up(conflict.actual)
        return Outcome(diagnostics=(*diagnostics, _overtaken(asked)))

    async def _tried(self, asked: Change, diagnostics: tuple[Diagnostic, ...], manner: _Manner) -> Outcome:
        bake_s = manner.bake_s
        async with self.following.alone:
            puts, refused = self._admissible(asked.puts, keep_going=manner.keep_going)
            diagnostics = (*diagnostics, *refused)
            if asked.puts and not puts:
                return Outcome(diagnostics=diagnostics)
            changes = (*(self._change(r) for r in puts), *(_reported(i, "deleted") for i in asked.removes))
            changes += missing((*(r.id for r in asked.puts), *manner.unreadable), changes)
            different = Change(tuple(r for r in puts if self._differs(r)), asked.removes)
            verdict, undo = await self._proposals.judge(different)
            change = verdict.change
            diagnostics = tuple(sorted((*diagnostics, *verdict.diagnostics), key=_place))
            outcome = answered(diagnostics, changes, verdict, keep_going=manner.keep_going)
            if manner.dry_run or not outcome.is_accepted:
                self._proposals.take_back(undo)
                return outcome
            if bake_s is None:
                told = await self._publish(change, undo, verdict)
                await self.following.retry(change.ids)
            elif verdict.moved:
                self._proposals.take_back(undo)
                return Outcome(diagnostics=(*diagnostics, _not_by_stages(change)))
            else:
                self._proposals.keep()
        if bake_s is not None:
            return await self._published_by_stages(change, undo, verdict, bake_s, outcome)
        rollout = await told.done(_ACK_LIMIT_S) if isinstance(told, Rollout) else told
        refusals = tuple(self._refused(change, nack) for nack in rollout.refusals)
        return msgspec.structs.replace(outcome, diagnostics=(*diagnostics, *refusals), rollout=report(rollout))

    def _refused(self, change: Change, nack: Nack) -> Diagnostic:
        """What one proxy would not take although the prover did, such as a port that somebody else holds."""
        culprit = next((r for r in change.puts if r.id.kind in SHAPES.get(nack.type_url, ())), None)
        return Diagnostic(
            severity=Severity.WARNING,
            code="refused-by-a-proxy",
            message=f"it is stored, but Envoy of {nack.proxy.instance}.{nack.proxy.namespace} refuses {nack.name}: {nack.reason}",
            position=culprit.position("spec") if culprit else None,
            hint="that proxy keeps what it had; change this, or delete it again",
            subject=str(culprit.id) if culprit else "",
        )

    async def _publish(self, change: Change, undo: Change, verdict: Judged) -> Rollout | RolloutResult:
        """Stores and tells."""
        try:
            await self.following.commit(change)
        except BaseException:
            self._proposals.take_back(undo)
            raise
        self._proposals.keep()
        return await self.following.tell(verdict)

    async def _published_by_stages(
        self, change: Change, undo: Change, verdict: Judged, bake_s: float, outcome: Outcome
    ) -> Outcome:
        """Stores a change once it has proved itself; else everything is as it was. Others' changes are taken meanwhile."""
        with self.following.noted() as touched:
            try:
                staged = await self._staging.run(verdict.changed, bake_s)
                is_overtaken = not staged.trouble and not await self._stored(change, touched)
            except BaseException:
                await self._withdraw(undo, touched, verdict)
                raise
            if staged.trouble or is_overtaken:
                rollout = await (await self._withdraw(undo, touched, verdict)).done(_ACK_LIMIT_S)
                reason = _overtaken(change) if is_overtaken else _rolled_back(change, staged)
                diagnostics = (*outcome.diagnostics, reason)
                return Outcome(diagnostics=diagnostics, stages=staged.stages, rollout=report(rollout))
        self.names.publish_of(change.ids)
        return msgspec.structs.replace(outcome, stages=staged.stages, rollout=report(staged.rollout))

    async def _stored(self, change: Change, touched: Set[ResourceId]) -> bool:
        """Stores a change that has been in the world for a while, unless others have changed the same resources."""
        for _ in range(_MOST_TRIES):
            async with self.following.alone:
                if touched & change.ids:
                    return False
                try:
                    await self.following.commit(change)
                except RevisionConflict as conflict:
                    await self.following.catch_up(conflict.actual)
                else:
                    await self.following.retry(change.ids)
                    return True
        return False

    async def _withdraw(self, undo: Change, touched: Set[ResourceId], verdict: Judged) -> Rollout:
        """Takes a change back everywhere, but for what others have changed since."""
        async with self.following.alone:
            self._world.apply(undo.without(touched))
            return self._hub.publish(verdict.changed | frozenset(self._database.changed()))

    def _admissible(
        self, puts: tuple[Resource, ...], *, keep_going: bool
    ) -> tuple[tuple[Resource, ...], tuple[Diagnostic, ...]]:
        """What may be stored, as it will be, and what was found against the rest; nothing where all must be and cannot."""
        found: tuple[Diagnostic, ...] = ()
        while puts:
            try:
                return self._admitted(puts), found
            except CommitRefused as refused:
                found = (*found, *refused.diagnostics)
                puts = without_refused(puts, refused.diagnostics) if keep_going else ()
        return (), found

    def _admitted(self, puts: tuple[Resource, ...]) -> tuple[Resource, ...]:
        """The resources as they will be stored: every Service has its address, also that of one that is held."""
        if not any(resource.id.kind == "Service" for resource in puts):
            return puts
        taken = {
            service.id: service.spec.cluster_ip
            for service in self._world.resources("Service")
            if service.spec.cluster_ip not in ("", HEADLESS) and not self.quarantine.is_held(service.id)
        }
        taken |= addresses(held.document for held in self.quarantine.held("Service"))
        changes = admitted([Put(resource.document) for resource in puts], taken).changes
        decoded = (decode(change.document).value for change in changes if isinstance(change, Put))
        return tuple(resource for resource in decoded if resource is not None)

    def _is_stored(self, resource_id: ResourceId) -> bool:
        return self._world.resource(resource_id) is not None or self.quarantine.is_held(resource_id)

    def _differs(self, resource: Resource) -> bool:
        is_held = self.quarantine.is_held(resource.id)  # what is stored is another version than the world's
        return is_held or not self._world.holds(resource.id, resource.document)

    def _change(self, resource: Resource) -> Reported:
        if not self._is_stored(resource.id):
            return _reported(resource.id, "created")
        return _reported(resource.id, "configured" if self._differs(resource) else "unchanged")


def report(rollout: RolloutResult) -> RolloutReport:
    """The outcome of a rollout as the API tells it."""
    return RolloutReport(
        n_connected=rollout.n_connected,
        n_affected=rollout.n_affected,
        n_acked=rollout.n_acked,
        seconds=rollout.seconds,
        n_resources_sent=rollout.n_resources_sent,
        refusals=tuple(
            ProxyRefusal(
                instance=nack.proxy.instance,
                namespace=nack.proxy.namespace,
                type_url=nack.type_url,
                message=nack.reason,
            )
            for nack in rollout.refusals
        ),
    )


def resource_ids(
    targets: tuple[Target, ...], namespace: str, held: Collection[ResourceId] = ()
) -> tuple[ResourceId, ...]:
    """The ids that targets name, of kinds that exist or of what is `held`; raises `NotFoundError` for others."""
    return tuple(resource_id(target, namespace, held) for target in targets)


def resource_id(target: Target, namespace: str, held: Collection[ResourceId] = ()) -> ResourceId:
    """The id of one target."""
    places, word = (target.namespace or namespace, ""), target.kind.lower().partition(".")[0]
    strange = [i for i in held if i.name == target.name and i.namespace in places]
    try:
        kind = kind_named(target.kind)
    except NotFoundError:
        for i in strange:
            if word in (i.kind.lower(), plural(i.kind.lower())):
                return i
        raise
    usual = ResourceId(kind.name, "" if kind.is_mesh_wide else places[0], target.name)
    return next((i for i in strange if i.kind == kind.name and usual not in held), usual)


def _not_by_stages(change: Change) -> Diagnostic:
    return _of_the_first(
        change,
        code="not-by-stages",
        message="what servers accept would change: callers and servers must follow one another, not some of each",
        hint="apply it without --staged; such a change goes out in turns",
    )


def _overtaken(change: Change) -> Diagnostic:
    return _of_the_first(
        change,
        code="conflict",
        message="others change the mesh at the same time, and were first each time it was tried",
        hint="see what is there now with `byway get`, and apply it again",
    )


def _rolled_back(change: Change, staged: Staged) -> Diagnostic:
    reached = counted(staged.stages[-1].n_proxies, "proxy", "proxies")
    return _of_the_first(
        change,
        code="rolled-back",
        message=f"taken back at stage {len(staged.stages)}, of {reached}: {staged.trouble}",
        hint="the mesh is as it was; see `byway top` and `byway graph` for what failed",
    )


def _of_the_first(change: Change, *, code: str, message: str, hint: str) -> Diagnostic:
    """A diagnostic about a change as a whole, at its first resource."""
    resource = next(iter(change.puts), None)
    position = resource.position("metadata.name") if resource else None
    return Diagnostic(
        code=code, message=message, position=position, hint=hint, subject=str(resource.id) if resource else ""
    )


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    at = diagnostic.position
    return (at.file, at.line, at.column) if at else ("", 0, 0)


def _absent(resource_id: ResourceId, document: Document | None, severity: Severity = Severity.INFO) -> Diagnostic:
    return Diagnostic(
        severity=severity,
        code="not-found",
        message=f"there is no {resource_id}",
        position=document.position("metadata.name") if document else None,
        hint="see `byway get`",
        subject=str(resource_id),
    )


def _reported(resource_id: ResourceId, action: Literal["created", "configured", "unchanged", "deleted"]) -> Reported:
    return Reported(resource_id.kind, resource_id.namespace, resource_id.name, action)
