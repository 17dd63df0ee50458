"""The certificate signing request, from which the mesh takes one thing only: a public key, proved to be the caller's.

Names, extensions and wishes inside a request are never even parsed: what a certificate says comes from the attested
identity of the caller. So a request can ask for another workload's name or for `CA:TRUE` and gain nothing by it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from byway.base.errors import UsageError

MAX_CSR_BYTES: Final = 16 * 1024
_ONE_BLOCK: Final = re.compile(
    rb"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\r?\n[A-Za-z0-9+/=\r\n]+-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class RefusedRequest(UsageError):
    """A request that the CA does not sign; the message says why."""


class KeyPolicy(msgspec.Struct, frozen=True):
    """Which keys are signed. `rsa_bits` is the inclusive range of RSA key sizes, None to refuse RSA."""

    curves: tuple[str, ...] = ("secp256r1", "secp384r1")
    rsa_bits: tuple[int, int] | None = None


ELLIPTIC_ONLY: Final = KeyPolicy()
WITH_RSA: Final = KeyPolicy(rsa_bits=(2048, 4096))


def proved_key(csr_pem: bytes, policy: KeyPolicy = ELLIPTIC_ONLY) -> PublicKey:
    """The public key of a request whose sender holds the private one; raises `RefusedRequest`."""
    if len(csr_pem) > MAX_CSR_BYTES:
        raise RefusedRequest(f"request is longer than {MAX_CSR_BYTES} bytes")
    if _ONE_BLOCK.fullmatch(csr_pem) is None:
        raise RefusedRequest("request is not exactly one PEM block of a certificate request")
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise RefusedRequest(f"unreadable request: {fault}") from fault
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise RefusedRequest(f"key of type {type(key).__name__} is not allowed")
    _check_key(key, policy)
    if not _is_signed(csr):
        raise RefusedRequest("request is not signed with its own key and SHA-2")
    return key


def _check_key(key: PublicKey, policy: KeyPolicy) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in policy.curves:
            raise RefusedRequest(f"curve {key.curve.name} is not allowed")
        return
    if policy.rsa_bits is None:
        raise RefusedRequest("RSA keys are not allowed")
    least, most = policy.rsa_bits
    if not least <= key.key_size <= most:
        raise RefusedRequest(f"RSA key of {key.key_size} bits is not between {least} and {most}")


def _is_signed(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return isinstance(csr.signature_hash_algorithm, _HASHES) and csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        return False
