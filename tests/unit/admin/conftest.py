"""A mesh in memory behind the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from byway.admin.api import admin_app
from byway.admin.port import (
    CertificateStatus,
    Change,
    EngineReport,
    NotFoundError,
    Outcome,
    PrometheusTarget,
    ProxyStatus,
    QueryReport,
    Readiness,
    RolloutReport,
    Section,
    SourceText,
    StoreReport,
    Target,
    Trouble,
    VersionReport,
)
from byway.admin.security import Door
from byway.base.diagnostics import Diagnostic, Position
from byway.base.errors import FaultError
from byway.telemetry.observatory import Observatory
from byway.telemetry.sender import SenderRefusedError

TOKEN = "a-secret-token"
QUARANTINED = Diagnostic(
    code="quarantined",
    message="in quarantine, nothing of it is in force: Envoy refuses it",
    position=Position("web.yaml", 7, 3),
    hint="apply a version that can be taken, or delete it",
    subject="VirtualService default/web",
)


class FixedClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def monotonic(self) -> float:
        return 100.0


class MemoryMesh:
    """Holds what was applied by file name; a text "bad" is a user's mistake, "broken" the mesh's."""

    def __init__(self) -> None:
        self.applied: dict[str, str] = {}
        self.deleted: list[Target] = []
        self.is_ready = True

    async def apply(
        self,
        sources: tuple[SourceText, ...],
        namespace: str,
        *,
        dry_run: bool,
        bake_s: float | None = None,
        keep_going: bool = False,
    ) -> Outcome:
        for source in sources:
            if source.text == "bad":
                wrong = Diagnostic(
                    code="missing-field",
                    message="spec.hosts is missing",
                    position=Position(source.file, 3, 1),
                    hint="add hosts: [link-service]",
                )
                return Outcome(diagnostics=(wrong,))
            if source.text == "broken":
                raise ZeroDivisionError("secret detail")
        changes = tuple(Change("VirtualService", namespace, source.file, "created") for source in sources)
        if dry_run:
            return Outcome(changes=changes)
        self.applied |= {source.file: source.text for source in sources}
        rollout = RolloutReport(n_connected=20, n_affected=2, n_acked=2, seconds=0.038, n_resources_sent=4)
        return Outcome(changes=changes, rollout=rollout)

    async def delete(self, sources: tuple[SourceText, ...], namespace: str, *, dry_run: bool) -> Outcome:
        return Outcome(changes=tuple(Change("VirtualService", namespace, s.file, "deleted") for s in sources))

    async def delete_named(self, targets: tuple[Target, ...], namespace: str, *, dry_run: bool) -> Outcome:
        self.deleted += targets
        return Outcome(changes=tuple(Change(t.kind, t.namespace or namespace, t.name, "deleted") for t in targets))

    async def resources(self, kind: str, namespace: str | None, name: str | None) -> tuple[Mapping[str, Any], ...]:
        if kind != "virtualservices":
            raise NotFoundError(f"no kind {kind!r} is known")
        return ({"kind": "VirtualService", "metadata": {"name": name or "all", "namespace": namespace or "any"}},)

    async def status(self) -> tuple[ProxyStatus, ...]:
        web = ProxyStatus(
            instance="web-1",
            workload="web",
            namespace="default",
            identity="spiffe://cluster.local/ns/default/sa/web",
            connected=True,
            in_sync=True,
            sync={"listeners": "SYNCED", "routes": "STALE", "endpoints": "NOT SENT"},
        )
        gone = ProxyStatus(instance="gone-1", workload="gone", namespace="default", identity="spiffe://x/ns/a/sa/b")
        return (web, gone)

    async def troubles(self) -> tuple[Trouble, ...]:
        return (
            Trouble(
                kind="VirtualService",
                namespace="default",
                name="web",
                state="quarantined",
                in_force="nothing of it is in force",
                diagnostic=QUARANTINED,
            ),
        )

    def store(self) -> StoreReport:
        return StoreReport(is_up=False, away_since="2026-01-01T00:00:00Z")

    async def analysis(self) -> tuple[Diagnostic, ...]:
        return (QUARANTINED,)

    async def proxy_config(self, target: str, section: Section) -> Any:
        if target == "asleep":
            raise FaultError("the agent of asleep does not answer")
        return [{"name": f"{target}-{section}"}]

    async def certs(self) -> tuple[CertificateStatus, ...]:
        return (CertificateStatus(kind="root", identity="cluster.local"),)

    async def prometheus_targets(self) -> tuple[PrometheusTarget, ...]:
        return (PrometheusTarget(("127.0.0.1:15020",), {"workload": "web"}),)

    async def readiness(self) -> Readiness:
        return Readiness(self.is_ready, "" if self.is_ready else "the prover has not started")

    def engine(self) -> EngineReport:
        query = QueryReport(
            query="service",
            n_held=2,
            n_computed=5,
            n_reused=7,
            n_cut_off=1,
            seconds=0.5,
            slowest_s=0.2,
            slowest="service()",
        )
        return EngineReport(revision=3, n_roots=1, queries=(query,))

    def version(self) -> VersionReport:
        return VersionReport(byway="0.1.0", envoy="1.40.0")


def refuse(peer: str, _: str, __: Mapping[str, str]) -> Any:
    raise SenderRefusedError(peer)


@pytest.fixture
def mesh() -> MemoryMesh:
    return MemoryMesh()


@pytest.fixture
def observatory() -> Observatory:
    return Observatory(FixedClock(), refuse)


def client(mesh: MemoryMesh, observatory: Observatory, *, is_loopback: bool = True) -> httpx.AsyncClient:
    app = admin_app(mesh, observatory, Door(token=TOKEN, is_loopback=is_loopback))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:15014")


@pytest.fixture
def anyone(mesh: MemoryMesh, observatory: Observatory) -> httpx.AsyncClient:
    """A caller on this machine without a token."""
    return client(mesh, observatory)


@pytest.fixture
def operator(mesh: MemoryMesh, observatory: Observatory) -> httpx.AsyncClient:
    """A caller on this machine with the token."""
    made = client(mesh, observatory)
    made.headers["authorization"] = f"Bearer {TOKEN}"
    return made


@pytest.fixture
def remote(mesh: MemoryMesh, observatory: Observatory) -> httpx.AsyncClient:
    """A caller of a listener that is open to other machines."""
    return client(mesh, observatory, is_loopback=False)
