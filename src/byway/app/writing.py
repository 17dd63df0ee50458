"""Writing: the only way into the mesh's resources, for the API, the command line and the mesh's own start.

All documents of a write are taken or none. What is acknowledged is stored, proved, and on its way to the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from byway.admin.port import Change as Reported
from byway.admin.port import NotFoundError, Outcome, ProxyRefusal, RolloutReport, SourceText, Target
from byway.ads.hub import Hub
from byway.ads.rollout import Nack, Rollout, RolloutResult
from byway.app.proposal import Judged, Proposals
from byway.app.reading import named, read
from byway.app.staging import Staged, Staging
from byway.app.turns import Turns
from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.lowered import service_of
from byway.derive.services import names
from byway.engine import Database
from byway.kinds.decode import decode
from byway.kinds.document import Document
from byway.kinds.kubernetes.service import HEADLESS
from byway.kinds.registry import KINDS, Kind
from byway.kinds.resource import Resource, ResourceId
from byway.model.names import (
    TYPE_CLUSTER,
    TYPE_ENDPOINTS,
    TYPE_LISTENER,
    TYPE_ROUTE,
    TYPE_VIRTUAL_HOST,
    service_host,
)
from byway.sources.admission import admitted
from byway.sources.errors import CommitRefused
from byway.sources.source import Put, Remove, Source
from byway.world.change import Change
from byway.world.host import World

_ACK_LIMIT_S = 10.0
_SHAPES = {
    TYPE_LISTENER: ("Gateway", "PeerAuthentication", "AuthorizationPolicy", "Service", "MeshConfig"),
    TYPE_ROUTE: ("VirtualService", "AuthorizationPolicy", "PeerAuthentication"),
    TYPE_VIRTUAL_HOST: ("VirtualService", "MeshConfig"),
    TYPE_CLUSTER: ("DestinationRule", "Service", "PeerAuthentication"),
    TYPE_ENDPOINTS: ("WorkloadEntry", "Service"),
}
"""Which kinds shape a resource of a type."""
_SHORT_NAMES = {
    "VirtualService": ("vs",),
    "DestinationRule": ("dr",),
    "Gateway": ("gw",),
    "WorkloadEntry": ("we",),
    "PeerAuthentication": ("pa",),
    "AuthorizationPolicy": ("ap",),
    "Service": ("svc",),
    "ServiceAccount": ("sa",),
    "Namespace": ("ns",),
    "MeshConfig": ("mc",),
}

NamesListener = Callable[[dict[str, str]], None]


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
        self._source = source
        self._proposals = proposals
        self._hub = hub
        self._turns = Turns(database, hub)
        self._staging = staging
        self._tell_names = tell_names
        self._names: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def apply(
        self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool, bake_s: float | None = None
    ) -> Outcome:
        """Puts the resources of some files; by stages, each watched so long, where `bake_s` is given."""
        found = await asyncio.to_thread(read, sources, namespace)  # a long text must not hold up the streams
        if not found.is_usable:
            return Outcome(diagnostics=found.diagnostics)
        async with self._turn:
            return await self._write(found.resources, (), found.diagnostics, dry_run=dry_run, bake_s=bake_s)

    async def delete(self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Removes the resources that some files name; one that is not there is no mistake."""
        found = await asyncio.to_thread(named, sources, namespace)  # a long text must not hold up the streams
        if not found.is_usable:
            return Outcome(diagnostics=found.diagnostics)
        async with self._turn:
            ids = tuple(i for i in found.documents if self._world.resource(i) is not None)
            absent = [_absent(i, document) for i, document in found.documents.items() if i not in ids]
            return await self._write((), ids, (*found.diagnostics, *absent), dry_run=dry_run)

    async def delete_ids(self, ids: tuple[ResourceId, ...], *, dry_run: bool) -> Outcome:
        """Removes resources by their ids; all must be there."""
        async with self._turn:
            absent = tuple(_absent(i, None, Severity.ERROR) for i in ids if self._world.resource(i) is None)
            return Outcome(diagnostics=absent) if absent else await self._write((), ids, (), dry_run=dry_run)

    async def _write(
        self,
        puts: tuple[Resource, ...],
        removes: tuple[ResourceId, ...],
        diagnostics: tuple[Diagnostic, ...],
        *,
        dry_run: bool,
        bake_s: float | None = None,
    ) -> Outcome:
        try:
            puts = self._admitted(puts)
        except CommitRefused as refused:
            return Outcome(diagnostics=(*diagnostics, *refused.diagnostics))
        changes = (*(self._change(r) for r in puts), *(_reported(i, "deleted") for i in removes))
        change = Change(tuple(r for r in puts if self._differs(r)), removes)
        verdict, undo = await self._proposals.judge(change)
        diagnostics = tuple(sorted((*diagnostics, *verdict.diagnostics), key=_place))
        if dry_run or not verdict.is_accepted:
            self._proposals.take_back(undo)
            return Outcome(diagnostics=diagnostics, changes=changes if verdict.is_accepted else ())
        if bake_s is not None:
            return await self._publish_by_stages(
                change, undo, verdict, bake_s, Outcome(diagnostics=diagnostics, changes=changes)
            )
        rollout = await self._publish(change, undo, verdict)
        diagnostics = (*diagnostics, *(self._refused(change, nack) for nack in rollout.refusals))
        return Outcome(diagnostics=diagnostics, changes=changes, rollout=report(rollout))

    def _refused(self, change: Change, nack: Nack) -> Diagnostic:
        """What one proxy would not take although the prover did, such as a port that somebody else holds."""
        culprit = next((r for r in change.puts if r.id.kind in _SHAPES.get(nack.type_url, ())), None)
        return Diagnostic(
            severity=Severity.WARNING,
            code="refused-by-a-proxy",
            message=f"it is stored, but Envoy of {nack.proxy.instance}.{nack.proxy.namespace} refuses {nack.name}: {nack.reason}",
            position=culprit.position("spec") if culprit else None,
            hint="that proxy keeps what it had; change this, or delete it again",
            subject=str(culprit.id) if culprit else "",
        )

    async def _publish(self, change: Change, undo: Change, verdict: Judged) -> RolloutResult:
        try:
            await self._commit(change)
        except BaseException:
            self._proposals.take_back(undo)
            raise
        self._proposals.keep()
        return await self._turns.publish(verdict.changed, verdict.moved, lambda: self._publish_names_of(change.ids))

    async def _publish_by_stages(
        self, change: Change, undo: Change, verdict: Judged, bake_s: float, outcome: Outcome
    ) -> Outcome:
        """Publishes a change and stores it once it has proved itself; else everything is as it was."""
        if verdict.moved:
            self._proposals.take_back(undo)
            return Outcome(diagnostics=(*outcome.diagnostics, _not_by_stages(change)))
        self._proposals.keep()
        try:
            staged = await self._staging.run(verdict.changed, bake_s)
            if not staged.trouble:
                await self._commit(change)
        except BaseException:
            self._withdraw(undo, verdict)
            raise
        if staged.trouble:
            rollout = await self._withdraw(undo, verdict).done(_ACK_LIMIT_S)
            diagnostics = (*outcome.diagnostics, _rolled_back(change, staged))
            return Outcome(diagnostics=diagnostics, stages=staged.stages, rollout=report(rollout))
        self._publish_names_of(change.ids)
        return msgspec.structs.replace(outcome, stages=staged.stages, rollout=report(staged.rollout))

    def _withdraw(self, undo: Change, verdict: Judged) -> Rollout:
        self._world.apply(undo)
        return self._hub.publish(verdict.changed | frozenset(self._database.changed()))

    async def _commit(self, change: Change) -> None:
        await self._source.commit([*(Put(r.document) for r in change.puts), *(Remove(i) for i in change.removes)])

    def publish_names(self) -> None:
        """Tells the agents what DNS must answer, where that changed."""
        self._tell_table(dict(names(self._database)))

    def _publish_names_of(self, ids: Iterable[ResourceId]) -> None:
        """The same after a change of these resources: no other service is looked at."""
        services = [i for i in ids if i.kind == "Service"]
        if not services:
            return
        table = dict(self._names)
        for resource_id in services:
            host = service_host(resource_id.name, resource_id.namespace)
            found = service_of(self._database, resource_id)
            table.pop(host, None)
            if found is not None and found.vip:
                table[host] = found.vip
        self._tell_table(table)

    def _tell_table(self, table: dict[str, str]) -> None:
        if table != self._names:
            self._names = table
            self._tell_names(table)

    def _admitted(self, puts: tuple[Resource, ...]) -> tuple[Resource, ...]:
        """The resources as they will be stored: every Service has its address."""
        if not any(resource.id.kind == "Service" for resource in puts):
            return puts
        taken = {
            service.id: service.spec.cluster_ip
            for service in self._world.resources("Service")
            if service.spec.cluster_ip not in ("", HEADLESS)
        }
        changes = admitted([Put(resource.document) for resource in puts], taken).changes
        decoded = (decode(change.document).value for change in changes if isinstance(change, Put))
        return tuple(resource for resource in decoded if resource is not None)

    def _differs(self, resource: Resource) -> bool:
        old = self._world.resource(resource.id)
        return old is None or old.document.body != resource.document.body

    def _change(self, resource: Resource) -> Reported:
        if self._world.resource(resource.id) is None:
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


def resource_ids(targets: tuple[Target, ...], namespace: str) -> tuple[ResourceId, ...]:
    """The ids that targets name; raises `NotFoundError` for a kind that does not exist."""
    return tuple(resource_id(target, namespace) for target in targets)


def resource_id(target: Target, namespace: str) -> ResourceId:
    """The id of one target."""
    kind = kind_named(target.kind)
    where = "" if kind.is_mesh_wide else target.namespace or namespace
    return ResourceId(kind.name, where, target.name)


def kind_named(word: str) -> Kind:
    """The kind that a user means: its name, its plural or Istio's short name, in any case."""
    lower = word.lower().partition(".")[0]
    for kind in KINDS:
        name = kind.name.lower()
        plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
        if lower in (name, plural, *_SHORT_NAMES.get(kind.name, ())):
            return kind
    known = ", ".join(kind.name for kind in KINDS)
    raise NotFoundError(f"there is no kind {word} (there are {known})")


def _not_by_stages(change: Change) -> Diagnostic:
    return _of_the_first(
        change,
        code="not-by-stages",
        message="what servers accept would change: callers and servers must follow one another, not some of each",
        hint="apply it without --staged; such a change goes out in turns",
    )


def _rolled_back(change: Change, staged: Staged) -> Diagnostic:
    return _of_the_first(
        change,
        code="rolled-back",
        message=f"taken back at stage {len(staged.stages)}, of {counted_proxies(staged.stages[-1].n_proxies)}: {staged.trouble}",
        hint="the mesh is as it was; see `byway top` and `byway graph` for what failed",
    )


def _of_the_first(change: Change, *, code: str, message: str, hint: str) -> Diagnostic:
    """A diagnostic about a change as a whole, at its first resource."""
    resource = next(iter(change.puts), None)
    position = resource.position("metadata.name") if resource else None
    return Diagnostic(
        code=code, message=message, position=position, hint=hint, subject=str(resource.id) if resource else ""
    )


def counted_proxies(n: int) -> str:
    """`1 proxy`, `2 proxies`."""
    return f"{n} {'proxy' if n == 1 else 'proxies'}"


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
