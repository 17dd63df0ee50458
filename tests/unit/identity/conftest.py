"""Certificates of every shape, good and bad, made in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey


class Made:
    """A certificate with its key."""

    def __init__(self, key: Key, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


Make = Callable[..., Made]


@pytest.fixture(scope="session")
def make() -> Make:
    """make(uris=(), dns=(), issuer=None, is_ca=False, not_before=…, not_after=…, may_sign=False)."""

    def made(
        *,
        name: str = "",
        uris: tuple[str, ...] = (),
        dns: tuple[str, ...] = (),
        issuer: Made | None = None,
        is_ca: bool = False,
        not_before: datetime = NOW - timedelta(hours=1),
        not_after: datetime = NOW + timedelta(hours=1),
        may_sign: bool = False,
    ) -> Made:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
        subject = x509.Name(attributes)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if may_sign:
            usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
            builder = builder.add_extension(usage, critical=True)
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName(host) for host in dns]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return Made(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))

    return made


@pytest.fixture
def now() -> datetime:
    """The moment at which the default certificates are valid."""
    return NOW
