"""How a running mesh is, as its control plane tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import byway
from byway.admin.port import CertificateStatus, ProxyStatus, StoreReport, Trouble, VersionReport
from byway.base.errors import BywayError
from byway.base.wording import counted
from byway.cli.answers import Certificates, Proxies
from byway.cli.checkup import Check, Verdict
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.installation import root_certificate_verdict

GROUP: Final = "mesh"


def mesh_checks(control_plane: ControlPlane, running: VersionReport, now: datetime) -> Iterator[Check]:
    """Everything about the mesh of that control plane."""
    yield _check("ok", f"control plane of mesh {running.mesh or '-'} answers at {control_plane.server}")
    if running.byway != byway.__version__:
        yield _check(
            "warning", f"it is Byway {running.byway}, this is {byway.__version__}", "use the same version on both sides"
        )
    try:
        state = understood(control_plane.answer("/api/status"), Proxies)
        certificates = understood(control_plane.answer("/api/certs"), Certificates).certificates
    except BywayError as error:
        yield _check("failed", "the control plane cannot tell how the mesh is", str(error))
        return
    yield from proxy_checks(state.proxies)
    yield from object_checks(state.troubles)
    yield from store_checks(state.store)
    yield from certificate_checks(certificates, now)


def _check(verdict: Verdict, finding: str, mend: str = "") -> Check:
    return Check(group=GROUP, verdict=verdict, finding=finding, mend=mend)


def proxy_checks(proxies: Sequence[ProxyStatus]) -> Iterator[Check]:
    """Whether all proxies are connected and hold what they should."""
    missed = [p for p in proxies if not p.connected and not p.may_be_elsewhere and p.kind != "grpc"]
    away = sorted(proxy.instance for proxy in missed)
    stale = sorted(proxy.instance for proxy in proxies if proxy.connected and not proxy.in_sync)
    n_good = sum(proxy.connected and proxy.in_sync for proxy in proxies)
    if not proxies:
        yield _check("warning", "no proxy has joined", "start a workload: byway up")
    elif not (away or stale):
        yield _check("ok", f"{counted(n_good, 'proxy', 'proxies')} connected and in sync")
    if away:
        yield _check("failed", f"not connected: {', '.join(away)}", "is the agent of their host running? (byway agent)")
    if stale:
        yield _check("failed", f"not in sync: {', '.join(stale)}", "see the last error in `byway status`")


def object_checks(troubles: Sequence[Trouble]) -> Iterator[Check]:
    """Whether all objects are in force as they are stored."""
    held = sorted(f"{t.kind} {t.namespace}/{t.name}" for t in troubles if t.state == "quarantined")
    refused = sorted(f"{t.kind} {t.namespace}/{t.name}" for t in troubles if t.state != "quarantined")
    if held:
        yield _check("failed", f"in quarantine: {', '.join(held)}", "see `byway analyze` for what is wrong with them")
    if refused:
        yield _check("warning", f"refused by proxies: {', '.join(refused)}", "see `byway analyze` and `byway status`")


def store_checks(store: StoreReport) -> Iterator[Check]:
    """Whether what is written can be stored."""
    if not store.is_up:
        finding = f"the store is away since {store.away_since}: writes are refused, what runs goes on"
        yield _check(
            "failed", finding, "see that PostgreSQL runs and lets the control plane in (its log has the reason)"
        )


def certificate_checks(certificates: Sequence[CertificateStatus], now: datetime) -> Iterator[Check]:
    """Whether those of workloads that are here are valid, and roots for long enough to be rotated without haste."""
    leaves = [c for c in certificates if c.kind == "leaf" and c.instance and c.not_after]
    expired = sorted(c.instance for c in leaves if _seconds_left(c, now) <= 0)
    if expired:
        yield _check(
            "failed", f"expired: {', '.join(expired)}", "is the agent of their host running, and its clock right?"
        )
    elif leaves:
        yield _check("ok", f"{counted(len(leaves), 'workload certificate')} valid")
    for root in (c for c in certificates if c.kind == "root" and c.not_after):
        verdict, mend = root_certificate_verdict(_seconds_left(root, now))
        yield _check(verdict, f"root certificate valid until {root.not_after[:10]}", mend)


def _seconds_left(certificate: CertificateStatus, now: datetime) -> float:
    return (datetime.fromisoformat(certificate.not_after) - now).total_seconds()
