"""The running mesh as the admin API asks it: writes through the writer, reads from world, sessions, agents and authority."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from byway import __version__
from byway.admin.port import (
    CertificateStatus,
    EngineReport,
    NotFoundError,
    Outcome,
    PrometheusTarget,
    ProxyStatus,
    QueryReport,
    Readiness,
    Section,
    SourceText,
    StoreReport,
    Target,
    Trouble,
    VersionReport,
)
from byway.ads.hub import Hub
from byway.agent.desk import AgentDesk
from byway.app.certificates import leaves
from byway.app.kindname import kind_named
from byway.app.proxies import proxy_status
from byway.app.standing import Standing
from byway.app.writing import Writer, resource_ids
from byway.authority.authority import Authority
from byway.base.clock import timestamp
from byway.base.diagnostics import Diagnostic, Severity
from byway.base.json import decoded
from byway.derive.lowered import mesh_defaults, workload_of
from byway.engine import Database
from byway.model.workload import Workload
from byway.world.host import World

_DUMPS: dict[Section, str] = {
    "listeners": "ListenersConfigDump",
    "routes": "RoutesConfigDump",
    "clusters": "ClustersConfigDump",
    "secrets": "SecretsConfigDump",
    "bootstrap": "BootstrapConfigDump",
}
"""The parts of Envoy's `/config_dump` (envoy.admin.v3); endpoints are told by `/clusters`, with their health."""


class Mesh:
    """Implements `byway.admin.port.MeshPort`."""

    def __init__(
        self,
        *,
        name: str,
        is_shared: bool,
        envoy_version: str,
        database: Database,
        world: World,
        writer: Writer,
        hub: Hub,
        desk: AgentDesk,
        authority: Authority,
        standing: Standing,
        away_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._name = name
        self._is_shared = is_shared
        self._envoy_version = envoy_version
        self._database = database
        self._world = world
        self._writer = writer
        self._hub = hub
        self._desk = desk
        self._authority = authority
        self._standing = standing
        self._away_since = away_since
        self.is_ready = False

    async def apply(
        self,
        sources: tuple[SourceText, ...],
        namespace: str,
        *,
        dry_run: bool,
        bake_s: float | None = None,
        keep_going: bool = False,
    ) -> Outcome:
        """Takes the documents of all files or of none, by stages where `bake_s` is given."""
        outcome = await self._writer.apply(sources, namespace, dry_run=dry_run, bake_s=bake_s, keep_going=keep_going)
        return self._told(outcome, dry_run=dry_run)

    async def delete(self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Deletes the resources that the documents name."""
        return self._told(await self._writer.delete(sources, namespace, dry_run=dry_run), dry_run=dry_run)

    async def delete_named(self, targets: tuple[Target, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Deletes resources by kind and name."""
        held = {held.id for held in self._writer.quarantine.held()}
        outcome = await self._writer.delete_ids(resource_ids(targets, namespace, held), dry_run=dry_run)
        return self._told(outcome, dry_run=dry_run)

    async def resources(self, kind: str, namespace: str | None, name: str | None) -> tuple[Mapping[str, Any], ...]:
        """The bodies of a kind's resources as they were written, with their status."""
        known = kind_named(kind)
        found = await self._standing.bodies(known.name, "" if known.is_mesh_wide else namespace or "", name or "")
        if name and not found:
            where = f"namespace {namespace}" if namespace else "any namespace"
            scope = "" if known.is_mesh_wide else f" in {where}"
            raise NotFoundError(f"there is no {known.name} {name}{scope} (see `byway get {kind}`)")
        return found

    def store(self) -> StoreReport:
        """Whether what is written can be stored."""
        since = self._away_since()
        return StoreReport(is_up=since is None, away_since=timestamp(since) if since else "")

    @property
    def n_quarantined(self) -> int:
        """How many resources are not in force as they are stored."""
        return len(self._writer.quarantine)

    async def troubles(self) -> tuple[Trouble, ...]:
        """Every object that is not in force as it is stored, or that proxies refuse."""
        return await self._standing.troubles()

    async def analysis(self) -> tuple[Diagnostic, ...]:
        """All that is wrong with the resources of the mesh."""
        return await self._standing.analysis()

    async def status(self) -> tuple[ProxyStatus, ...]:
        """Every proxy that the mesh knows of."""
        # A gRPC client has a stream for each channel; one that lacks something speaks for all.
        streams = sorted(self._hub.snapshot(), key=lambda stream: not stream.is_in_sync)
        connected = {(s.proxy.namespace, s.proxy.instance): s for s in streams}
        reports = self._desk.states()
        trust_domain = mesh_defaults(self._database).trust_domain
        return tuple(
            proxy_status(
                found,
                trust_domain,
                connected.get((found.namespace, found.instance)),
                reports.get(found.instance),
                is_shared=self._is_shared,
            )
            for found in self._workloads()
        )

    async def proxy_config(self, target: str, section: Section) -> Any:
        """What that Envoy really holds."""
        instance = self._instance(target)
        if self._is_shared and instance not in self._desk.states():
            raise NotFoundError(
                f"the agent of {instance} is not at this control plane (ask the others of the mesh, by --server)"
            )
        if section == "endpoints":
            return decoded(await self._desk.ask(instance, "/clusters?format=json"))
        dump = decoded(await self._desk.ask(instance, "/config_dump"))
        return [part for part in dump["configs"] if part["@type"].endswith(f".{_DUMPS[section]}")]

    async def certs(self) -> tuple[CertificateStatus, ...]:
        """Every leaf in use and every root."""
        authority, desk = self._authority, self._desk
        found = leaves(authority.log, desk.states().values(), desk.certificates(), authority.clock.now())
        roots = [
            CertificateStatus(
                kind="root",
                identity=f"spiffe://{self._authority.trust_domain}",
                serial=f"{root.serial_number:x}",
                not_before=timestamp(root.not_valid_before_utc),
                not_after=timestamp(root.not_valid_after_utc),
            )
            for root in self._authority.bundle.certificates
        ]
        return (*found, *roots)

    async def prometheus_targets(self) -> tuple[PrometheusTarget, ...]:
        """The control plane itself: it shows what all proxies report, added up."""
        return (PrometheusTarget(("127.0.0.1:15014",), {"job": "byway", "mesh": self._name}),)

    def engine(self) -> EngineReport:
        """What the engine has computed, kept and cut off."""
        return EngineReport(
            revision=self._database.revision,
            n_roots=self._database.n_roots,
            queries=tuple(
                QueryReport(
                    query=query.name,
                    n_held=done.n_memos,
                    n_computed=done.n_computed,
                    n_reused=done.n_reused,
                    n_cut_off=done.n_cut_off,
                    seconds=done.seconds,
                    slowest_s=done.slowest_s,
                    slowest=done.slowest,
                )
                for query, done in self._database.statistics().items()
            ),
        )

    async def readiness(self) -> Readiness:
        """Whether resources are loaded and proxies may connect."""
        return Readiness(self.is_ready, "" if self.is_ready else "resources are being loaded")

    def version(self) -> VersionReport:
        """Versions and names."""
        mesh = mesh_defaults(self._database)
        return VersionReport(
            byway=__version__,
            envoy=self._envoy_version,
            mesh=self._name,
            trust_domain=mesh.trust_domain,
            root_namespace=mesh.root_namespace,
        )

    def _told(self, outcome: Outcome, *, dry_run: bool) -> Outcome:
        """With what only the mesh as a whole knows: that its store is away, and that proxies may be elsewhere."""
        if outcome.rollout and self._is_shared:
            rollout = msgspec.structs.replace(outcome.rollout, may_be_elsewhere=True)
            return msgspec.structs.replace(outcome, rollout=rollout)
        since = self.store().away_since
        if not (dry_run and since):
            return outcome
        warning = Diagnostic(
            severity=Severity.WARNING,
            code="store-away",
            message=f"the store is away since {since}: this would be refused now",
            hint="see that PostgreSQL runs and lets this host in",
        )
        return msgspec.structs.replace(outcome, diagnostics=(*outcome.diagnostics, warning))

    def _workloads(self) -> list[Workload]:
        entries = self._world.resources("WorkloadEntry")
        found = (workload_of(self._database, entry.id) for entry in entries)
        return [workload for workload in found if workload is not None]

    def _instance(self, target: str) -> str:
        found = self._workloads()
        for field in ("instance", "name", "app"):
            for workload in found:
                name = getattr(workload, field)
                if target in (name, f"{name}.{workload.namespace}"):
                    return workload.instance
        raise NotFoundError(f"there is no workload {target} (see `byway status`)")
