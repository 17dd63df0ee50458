"""The authority: a signer at work under its terms, by a clock, leaving a trace of all it signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography import x509

from byway.authority.certificate_log import CertificateLog, IssuedCertificate
from byway.authority.issuance import Terms, leaf_template
from byway.authority.signer import Signer
from byway.base.clock import Clock
from byway.base.diagnostics import Diagnostic, Severity
from byway.identity.bundle import TrustBundle
from byway.identity.csr import PublicKey
from byway.identity.spiffe import SpiffeId, TrustDomain

_WARNING_DAYS: Final = 30


class Authority:
    """The mesh's certificate authority. Whom it serves is decided by its callers."""

    def __init__(
        self,
        signer: Signer,
        trust_domain: TrustDomain,
        clock: Clock,
        *,
        terms: Terms | None = None,
        log: CertificateLog | None = None,
        serial: Callable[[], int] = x509.random_serial_number,
    ) -> None:
        self.trust_domain = trust_domain
        self.clock = clock
        self.log = log or CertificateLog()
        self._signer = signer
        self._terms = terms or Terms()
        self._serial = serial

    @property
    def bundle(self) -> TrustBundle:
        """The roots of the mesh."""
        return self._signer.bundle

    def issue(
        self,
        identity: SpiffeId,
        key: PublicKey,
        *,
        dns_names: tuple[str, ...] = (),
        wished_s: int = 0,
        node: str = "",
        via: str,
    ) -> bytes:
        """The signed leaf with its intermediates (PEM), recorded; raises `RefusedLife` or `AuthorityExpired`."""
        now = self.clock.now()
        template = leaf_template(
            identity,
            dns_names,
            now=now,
            wished_s=wished_s,
            serial=self._serial(),
            terms=self._terms,
            ca_life=self._signer.life,
        )
        chain = self._signer.signed(template, key)
        self.log.record(
            IssuedCertificate(
                serial=f"{template.serial:x}",
                identity=str(identity),
                node=node,
                issued_at=now,
                not_after=template.not_after,
                via=via,
            )
        )
        return chain

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """A warning while the CA's own certificate has less than 30 days to live."""
        not_after = self._signer.life[1]
        days = (not_after - self.clock.now()).days
        if days >= _WARNING_DAYS:
            return ()
        return (
            Diagnostic(
                severity=Severity.WARNING if days >= 0 else Severity.ERROR,
                code="ca-expiry",
                message=f"the CA certificate {'expires in' if days >= 0 else 'expired'} {abs(days)} days"
                f"{'' if days >= 0 else ' ago'}, on {not_after:%Y-%m-%d}",
                hint="replace the CA in the state directory before that day",
                subject=f"CA of {self.trust_domain}",
            ),
        )

    def statistics(self) -> dict[str, float]:
        """The CA's metrics by name, as plain numbers."""
        now = self.clock.now()
        root, chain = self._signer.root.not_valid_after_utc, self._signer.life[1]
        return {
            **self.log.counts(),
            "citadel_server_root_cert_expiry_timestamp": root.timestamp(),
            "citadel_server_root_cert_expiry_seconds": (root - now).total_seconds(),
            "citadel_server_cert_chain_expiry_timestamp": chain.timestamp(),
            "citadel_server_cert_chain_expiry_seconds": (chain - now).total_seconds(),
        }
