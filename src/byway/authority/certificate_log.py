"""What the CA has issued: one audit line a certificate, a bounded registry of the latest, and counters.

The counters have the names that Istio's CA gives them, so that its dashboards and alerts fit. Methods may be called
from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Final

import msgspec
import structlog

_log = structlog.get_logger("byway.authority")

CSR_COUNT: Final = "citadel_server_csr_count"
AUTHENTICATION_FAILURES: Final = "citadel_server_authentication_failure_count"
PARSING_ERRORS: Final = "citadel_server_csr_parsing_err_count"
SIGNING_ERRORS: Final = "citadel_server_csr_sign_err_count"
ISSUED: Final = "citadel_server_success_cert_issuance_count"


class IssuedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit. `node` is the host that the key lives on, empty where it is not known."""

    serial: str
    identity: str
    node: str
    issued_at: datetime
    not_after: datetime
    via: str


class CertificateLog:
    """The registry. It keeps the latest `limit` certificates and forgets the oldest first."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._issued: OrderedDict[str, IssuedCertificate] = OrderedDict()
        self._counts = dict.fromkeys((CSR_COUNT, AUTHENTICATION_FAILURES, PARSING_ERRORS, SIGNING_ERRORS, ISSUED), 0)
        self._n_issued: OrderedDict[tuple[str, str], int] = OrderedDict()  # by identity and node, the latest last
        self._lock = threading.Lock()

    def count(self, counter: str) -> None:
        """Adds one to a counter."""
        with self._lock:
            self._counts[counter] += 1

    def record(self, certificate: IssuedCertificate) -> None:
        """Remembers an issued certificate and writes its audit line."""
        with self._lock:
            self._counts[ISSUED] += 1
            self._issued[certificate.serial] = certificate
            if len(self._issued) > self._limit:
                self._issued.popitem(last=False)
            holder = (certificate.identity, certificate.node)
            self._n_issued[holder] = self._n_issued.pop(holder, 0) + 1
            if len(self._n_issued) > self._limit:
                self._n_issued.popitem(last=False)
        _log.info(
            "certificate issued",
            serial=certificate.serial,
            identity=certificate.identity,
            node=certificate.node,
            not_after=certificate.not_after.isoformat(),
            via=certificate.via,
        )

    def issued(self) -> tuple[IssuedCertificate, ...]:
        """The certificates that are remembered, oldest first."""
        with self._lock:
            return tuple(self._issued.values())

    def current(self, now: datetime) -> tuple[IssuedCertificate, ...]:
        """For each identity on each node the latest certificate that has not expired, by identity."""
        latest = {(entry.identity, entry.node): entry for entry in self.issued() if entry.not_after > now}
        return tuple(latest[key] for key in sorted(latest))

    def n_rotations(self, certificate: IssuedCertificate) -> int:
        """How often the holder's certificate was replaced since the control plane started."""
        with self._lock:
            return max(0, self._n_issued.get((certificate.identity, certificate.node), 0) - 1)

    def counts(self) -> dict[str, int]:
        """The counters."""
        with self._lock:
            return dict(self._counts)
