"""The control plane's own certificate, and a port that changes it without a restart.

gRPC asks for the certificate at every handshake, on a thread of its own. The certificate is looked at then, and
replaced when half of its life is over: no task and no timer is needed, and a server that nobody calls signs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import grpc
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from byway.authority.authority import Authority
from byway.base.errors import BywayError
from byway.identity.certificate import CertificateFacts, chain_facts
from byway.identity.roles import CONTROL_PLANE_HOST, control_plane_id
from byway.identity.rotation import Lease, renewal_wait_s

_log = structlog.get_logger("byway.authority")

IN_PROCESS: Final = "in-process"


class ServingPair(msgspec.Struct, frozen=True, kw_only=True):
    """A private key and the chain that belongs to it, both PEM."""

    key_pem: bytes
    chain_pem: bytes
    facts: CertificateFacts


def _configuration(pair: ServingPair, bundle_pem: bytes) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key_pem, pair.chain_pem)], root_certificates=bundle_pem)


def control_plane_certificate(
    authority: Authority, *, wished_s: int = 0, dns_names: tuple[str, ...] = (CONTROL_PLANE_HOST, "localhost")
) -> ServingPair:
    """A fresh key and certificate of the control plane itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = control_plane_id(authority.trust_domain)
    chain = authority.issue(identity, key.public_key(), dns_names=dns_names, wished_s=wished_s, via=IN_PROCESS)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ServingPair(key_pem=key_pem, chain_pem=chain, facts=chain_facts(chain))


class ServingCertificate:
    """The certificate in use. Its methods may be called from any thread."""

    def __init__(self, authority: Authority, *, jitter: Callable[[], float] = lambda: 0.5, wished_s: int = 0) -> None:
        self._authority = authority
        self._jitter = jitter
        self._wished_s = wished_s
        self._lock = threading.Lock()
        self._pair, self._lease = self._fresh()

    @property
    def bundle_pem(self) -> bytes:
        """The roots that clients' certificates are verified against."""
        return self._authority.bundle.pem

    def current(self) -> ServingPair:
        """The pair to serve now, renewed first if that is due; a renewal that fails keeps the old one."""
        clock = self._authority.clock
        with self._lock:
            if renewal_wait_s(self._lease, clock.now(), clock.monotonic()) <= 0:
                try:
                    self._pair, self._lease = self._fresh()
                except BywayError as fault:
                    _log.error("control plane's certificate not renewed", reason=str(fault))
            return self._pair

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for `add_secure_port` that demand a client certificate and follow the rotation."""
        told = self._pair, self.bundle_pem
        first = _configuration(*told)

        def news() -> grpc.ServerCertificateConfiguration | None:
            # None: as it was. gRPC makes its TLS context anew for each configuration, and does so under the handshakes that
            # are running: with one at every handshake, a few strangers bring the process down (grpc/grpc#36693).
            nonlocal told
            now = self.current(), self.bundle_pem
            with self._lock:
                if now == told:
                    return None
                told = now
            return _configuration(*now)

        return grpc.dynamic_ssl_server_credentials(
            first,
            news,  # type: ignore[arg-type]  # grpc's documentation allows None
            require_client_authentication=True,
        )

    def _fresh(self) -> tuple[ServingPair, Lease]:
        clock = self._authority.clock
        pair = control_plane_certificate(self._authority, wished_s=self._wished_s)
        lease = Lease(
            not_before=pair.facts.not_before,
            not_after=pair.facts.not_after,
            received_at=clock.now(),
            received_monotonic=clock.monotonic(),
            jitter=self._jitter(),
        )
        return pair, lease
