"""The trust bundle: the roots that a mesh believes, and whether a chain leads to one of them.

During the rotation of a root a bundle holds the old and the new one. It is a set: two bundles with the same roots are
equal whatever the order they were written in.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from byway.base.errors import UsageError
from byway.identity.certificate import (
    CertificateFacts,
    MalformedCertificate,
    certificate_facts,
    certificates,
)

_MAX_INTERMEDIATES: Final = 8


class UntrustedChain(UsageError):
    """A chain that does not lead from a valid leaf to a believed root."""


class TrustBundle(msgspec.Struct, frozen=True):
    """Root certificates (DER), sorted, each once; made by `trust_bundle`."""

    roots: tuple[bytes, ...]

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The roots."""
        return tuple(x509.load_der_x509_certificate(root) for root in self.roots)

    @property
    def pem(self) -> bytes:
        """The roots as one PEM text."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self.certificates)

    def __or__(self, other: TrustBundle) -> TrustBundle:
        return TrustBundle(tuple(sorted({*self.roots, *other.roots})))

    def __and__(self, other: TrustBundle) -> TrustBundle:
        return TrustBundle(tuple(sorted({*self.roots} & {*other.roots})))


def trust_bundle(pem: bytes) -> TrustBundle:
    """The bundle of a PEM text with one or more CA certificates; raises `MalformedCertificate`."""
    roots = certificates(pem)
    if not all(_may_sign(root) for root in roots):
        raise MalformedCertificate("a trust bundle holds CA certificates only")
    return TrustBundle(tuple(sorted({root.public_bytes(Encoding.DER) for root in roots})))


def trusted_leaf(chain_pem: bytes, bundle: TrustBundle, now: datetime) -> CertificateFacts:
    """The facts of a chain's leaf, once every link up to a root of `bundle` holds at `now`; raises `UntrustedChain`."""
    leaf, *rest = certificates(chain_pem)
    roots = bundle.certificates
    intermediates = [link for link in rest if link not in roots]
    if len(intermediates) > _MAX_INTERMEDIATES:
        raise UntrustedChain(f"chain has more than {_MAX_INTERMEDIATES} intermediate certificates")
    child = leaf
    for link in [leaf, *intermediates]:
        if not link.not_valid_before_utc <= now <= link.not_valid_after_utc:
            raise UntrustedChain(
                f"certificate {link.serial_number:x} is valid from {link.not_valid_before_utc} "
                f"to {link.not_valid_after_utc}, and it is {now} here (are the clocks right?)"
            )
    for parent in intermediates:
        if not is_issued_by(child, parent):
            raise UntrustedChain("a certificate of the chain is not signed by the next one")
        child = parent
    if not any(is_issued_by(child, root) and now <= root.not_valid_after_utc for root in roots):
        raise UntrustedChain(f"chain of {child.issuer.rfc4514_string()} leads to no root that is believed here")
    return certificate_facts(leaf)


def is_issued_by(child: x509.Certificate, parent: x509.Certificate) -> bool:
    """Whether `parent` is a CA whose key signed `child`."""
    try:
        child.verify_directly_issued_by(parent)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return _may_sign(parent)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.BasicConstraints):
                return extension.value.ca
    except ValueError as fault:
        raise MalformedCertificate(f"unreadable certificate: {fault}") from fault
    return False
