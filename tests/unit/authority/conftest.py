"""A CA in a temporary state directory, a clock to turn, and requests to sign."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from byway.authority.authority import Authority
from byway.authority.vault import opened_signer
from byway.identity.spiffe import TrustDomain

Csr = Callable[..., tuple[ec.EllipticCurvePrivateKey, bytes]]


class TurnedClock:
    """A clock that stands until it is turned; it starts at the present, because TLS libraries look at the real one."""

    def __init__(self) -> None:
        self.wall = datetime.now(UTC).replace(microsecond=0)
        self.steady = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def turn(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def trust_domain() -> TrustDomain:
    return TrustDomain("cluster.local")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def authority(state: Path, clock: TurnedClock, trust_domain: TrustDomain) -> Authority:
    return Authority(opened_signer(state, trust_domain, clock.now()), trust_domain, clock)


@pytest.fixture
def csr() -> Csr:
    """csr(*extensions) is a P-256 key and its request."""

    def made(*extensions: x509.ExtensionType) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return key, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    return made
