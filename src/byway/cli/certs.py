"""`byway certs`: the certificates in use, roots first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from byway.admin.port import CertificateStatus
from byway.base.clock import SystemClock
from byway.cli.answers import Certificates
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import show, table
from byway.cli.status import remaining


def command(
    *, namespace: Namespace = None, output: Output = "table", server: Server = None, state: State = None
) -> int:
    """Show the certificates in use, when they expire, and how often they have been rotated."""
    content = ControlPlane(server, state).answer("/api/certs")
    certificates = [c for c in understood(content, Certificates).certificates if _is_in(c, namespace)]
    show(certificates, output, lambda: certificate_table(certificates, SystemClock().now()))
    return 0


def _is_in(certificate: CertificateStatus, namespace: str | None) -> bool:
    return namespace is None or certificate.kind == "root" or f"/ns/{namespace}/" in certificate.identity


def certificate_table(certificates: Sequence[CertificateStatus], now: datetime) -> str:
    """Roots, then leaves by identity."""
    if not certificates:
        return "no certificate has been issued yet"
    rows = [
        (
            certificate.kind.upper(),
            certificate.identity,
            certificate.instance or "-",
            certificate.not_before or "-",
            certificate.not_after or "-",
            remaining(certificate.not_after, now),
            str(certificate.n_rotations),
            certificate.serial or "-",
        )
        for certificate in sorted(certificates, key=lambda c: (c.kind != "root", c.identity, c.instance))
    ]
    return table(
        ("TYPE", "IDENTITY", "PROXY", "NOT BEFORE", "NOT AFTER", "VALID FOR", "ROTATIONS", "SERIAL NUMBER"), rows
    )
