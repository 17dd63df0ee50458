"""What the admin API asks of the running mesh: one protocol, which the composition root implements.

Everything that crosses it is a frozen value that msgspec writes as JSON, so these structs are the API's schema, too. A
caller's mistake is a diagnostic in an `Outcome`; what cannot be answered at all is raised, and its message shown to the
caller: `UsageError` (the API answers 400), `NotFoundError` (404), `FaultError` (503).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from byway.base.diagnostics import Diagnostic, Severity
from byway.base.errors import UsageError

Section = Literal["listeners", "routes", "clusters", "endpoints", "secrets", "bootstrap"]
SECTIONS: tuple[Section, ...] = ("listeners", "routes", "clusters", "endpoints", "secrets", "bootstrap")


class NotFoundError(UsageError):
    """What the caller named does not exist: a kind, a resource, a proxy, a trace."""


class SourceText(msgspec.Struct, frozen=True):
    """One YAML file as the caller holds it; `file` is only for positions in diagnostics and is never opened."""

    file: str
    text: str


class Target(msgspec.Struct, frozen=True):
    """One resource by name; `namespace` is "" for the caller's default."""

    kind: str
    name: str
    namespace: str = ""


class Change(msgspec.Struct, frozen=True):
    """What happened (or in a dry run would happen) to one resource."""

    kind: str
    namespace: str
    name: str
    action: Literal["created", "configured", "unchanged", "deleted", "left out"]


class ProxyRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that would not take what it was sent, with Envoy's words."""

    instance: str
    namespace: str
    type_url: str
    message: str


class RolloutReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has reached the fleet; `n_affected` proxies were sent something, `n_acked` of them took it.

    `may_be_elsewhere`: other control planes share the store, and tell it to proxies of their own.
    """

    n_connected: int
    n_affected: int
    n_acked: int
    seconds: float
    n_resources_sent: int
    refusals: tuple[ProxyRefusal, ...] = ()
    may_be_elsewhere: bool = False


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a staged change: how many proxies had it, and what their workloads' requests came to meanwhile."""

    n_proxies: int
    n_requests: float
    failure_share: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a write: with an error among the diagnostics nothing was changed; a dry run has no rollout.

    `is_partial`: what the errors are about was left out, as was asked for, and the rest was taken.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    changes: tuple[Change, ...] = ()
    rollout: RolloutReport | None = None
    stages: tuple[Stage, ...] = ()
    is_partial: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the write was taken, if only in part."""
        return self.is_partial or all(d.severity is not Severity.ERROR for d in self.diagnostics)


class ProxyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy as control plane and agent see it. Times are RFC 3339 in UTC, "" where not known.

    `may_be_elsewhere`: it is not connected to this control plane, and others share its source.
    `sync` holds for each xDS type ("listeners", "clusters" …) one of Istio's words: SYNCED, STALE, NOT SENT, ERROR.
    """

    instance: str
    workload: str
    namespace: str
    identity: str
    kind: Literal["sidecar", "router", "grpc"] = "sidecar"  # `grpc`: no Envoy, a client by the gRPC library
    node: str = ""
    connected: bool = False
    may_be_elsewhere: bool = False
    in_sync: bool = False
    sync: Mapping[str, str] = msgspec.field(default_factory=dict)
    certificate_not_after: str = ""
    last_error: str = ""
    envoy_state: str = ""
    app_state: str = ""
    n_envoy_restarts: int = 0
    n_app_restarts: int = 0
    envoy_version: str = ""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """An object that is not in force as it is stored, or of which some proxies refuse what was made of it.

    `in_force` says in words what is in force. `since` is RFC 3339 in UTC, "" where not known.
    """

    kind: str
    namespace: str
    name: str
    state: Literal["quarantined", "refused-by-proxies"]
    in_force: str
    diagnostic: Diagnostic
    since: str = ""
    n_proxies: int = 0


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate in use: a workload's leaf, or a root (`kind`). Rotations count since the control plane started."""

    kind: Literal["leaf", "root"]
    identity: str
    instance: str = ""
    serial: str = ""
    not_before: str = ""
    not_after: str = ""
    n_rotations: int = 0


class StoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what is written can be stored; while it is away (`away_since`, RFC 3339 in UTC) writes are refused."""

    is_up: bool = True
    away_since: str = ""


class VersionReport(msgspec.Struct, frozen=True, kw_only=True):
    """The program's own versions and the mesh's names."""

    byway: str
    envoy: str
    mesh: str = ""
    trust_domain: str = ""
    root_namespace: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """Whether the control plane can serve the fleet, and if not, what it waits for."""

    is_ready: bool
    reason: str = ""


class QueryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one query of the engine has done since the start. Seconds are its own, without the queries that it asks."""

    query: str
    n_held: int
    n_computed: int
    n_reused: int
    n_cut_off: int
    seconds: float
    slowest_s: float
    slowest: str


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """The engine at work: its revision, how many results proxies hold it to, and every query."""

    revision: int
    n_roots: int
    queries: tuple[QueryReport, ...]


class PrometheusTarget(msgspec.Struct, frozen=True):
    """One group of Prometheus' HTTP service discovery: `targets` are host:port."""

    targets: tuple[str, ...]
    labels: Mapping[str, str]


class MeshPort(Protocol):
    """The mesh behind the API. Every method is bounded in time by its implementer."""

    async def apply(
        self,
        sources: tuple[SourceText, ...],
        namespace: str,
        *,
        dry_run: bool,
        bake_s: float | None = None,
        keep_going: bool = False,
    ) -> Outcome:
        """Takes the documents of all files or of none, waits for the fleet and says how far they went.

        With `keep_going` those that are wrong are left out, and the others taken. With `bake_s` they go by stages, each
        watched for so many seconds, and are taken back where requests fail.
        """

    async def delete(self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Deletes the resources that the documents name."""

    async def delete_named(self, targets: tuple[Target, ...], namespace: str, *, dry_run: bool) -> Outcome:
        """Deletes resources by kind and name; `namespace` is for the targets that name none."""

    async def resources(self, kind: str, namespace: str | None, name: str | None) -> tuple[Mapping[str, Any], ...]:
        """The bodies, as written, of a kind's resources, each with its `status`; `kind` in any spelling, None = all.

        An unknown kind, and a name that none has, raise `NotFoundError`.
        """

    async def status(self) -> tuple[ProxyStatus, ...]:
        """Every proxy that the mesh knows of, connected or not."""

    async def troubles(self) -> tuple[Trouble, ...]:
        """Every object that is not in force as it is stored, or that proxies refuse."""

    def store(self) -> StoreReport:
        """Whether what is written can be stored."""

    async def analysis(self) -> tuple[Diagnostic, ...]:
        """All that is wrong with the resources of the mesh."""

    async def proxy_config(self, target: str, section: Section) -> Any:
        """What the Envoy of that instance (or of a workload's first instance) really holds, as JSON values."""

    async def certs(self) -> tuple[CertificateStatus, ...]:
        """Every leaf in use and every root."""

    async def prometheus_targets(self) -> tuple[PrometheusTarget, ...]:
        """Where each proxy's own metrics may be scraped."""

    def engine(self) -> EngineReport:
        """What the engine has computed, kept and cut off."""

    async def readiness(self) -> Readiness:
        """Whether the control plane can serve."""

    def version(self) -> VersionReport:
        """Versions and names."""
