"""What a certificate says: the facts that the mesh acts on, read by the rules of an X.509-SVID.

A leaf carries exactly one URI name, which is its SPIFFE id with a path; it is no CA and signs no certificate
(https://spiffe.io/docs/latest/spiffe-specs/x509-svid/). Whatever breaks a rule is `MalformedCertificate`, never
half-read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509

from byway.base.errors import UsageError
from byway.identity.spiffe import MalformedSpiffeId, SpiffeId, parse_spiffe_id

_MAX_CHAIN_BYTES: Final = 256 * 1024
_MAX_CERTIFICATES: Final = 64
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


class MalformedCertificate(UsageError):
    """Bytes that are no certificate chain, or a certificate that is no X.509-SVID."""


class CertificateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one leaf certificate."""

    identity: SpiffeId
    not_before: datetime
    not_after: datetime
    serial: str
    """The serial number in lower-case hexadecimal."""
    issuer: str
    dns_names: tuple[str, ...] = ()


def certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text, at least one; raises `MalformedCertificate`."""
    if len(pem) > _MAX_CHAIN_BYTES or pem.count(_BEGIN) > _MAX_CERTIFICATES:
        raise MalformedCertificate(f"more than {_MAX_CERTIFICATES} certificates or {_MAX_CHAIN_BYTES} bytes of PEM")
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as fault:
        raise MalformedCertificate(f"not a PEM certificate: {fault}") from fault


def chain_facts(chain_pem: bytes) -> CertificateFacts:
    """The facts of the leaf, which stands first in its chain."""
    return certificate_facts(certificates(chain_pem)[0])


def certificate_facts(leaf: x509.Certificate) -> CertificateFacts:
    """The facts of a leaf; raises `MalformedCertificate` where it is no X.509-SVID."""
    try:
        extensions = leaf.extensions
        issuer = leaf.issuer.rfc4514_string()
    except ValueError as fault:
        raise MalformedCertificate(f"unreadable certificate: {fault}") from fault
    if is_authority(extensions):
        raise MalformedCertificate("a CA certificate is not a workload's")
    identity, dns_names = _names(extensions)
    return CertificateFacts(
        identity=identity,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        serial=f"{leaf.serial_number:x}",
        issuer=issuer,
        dns_names=dns_names,
    )


def is_authority(extensions: x509.Extensions) -> bool:
    """Whether these extensions let a certificate sign others, in either of the two places that say so."""
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            return True
        if isinstance(extension.value, x509.KeyUsage) and (extension.value.key_cert_sign or extension.value.crl_sign):
            return True
    return False


def _names(extensions: x509.Extensions) -> tuple[SpiffeId, tuple[str, ...]]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise MalformedCertificate("certificate has no subject alternative name") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise MalformedCertificate(f"certificate has {len(uris)} URI names instead of exactly one")
    try:
        identity = parse_spiffe_id(uris[0])
    except MalformedSpiffeId as fault:
        raise MalformedCertificate(str(fault)) from fault
    if not identity.path:
        raise MalformedCertificate("certificate names a trust domain instead of a workload")
    return identity, tuple(names.get_values_for_type(x509.DNSName))
