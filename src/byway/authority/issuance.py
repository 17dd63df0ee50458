"""What a leaf certificate says, decided from the attested subject, the terms of the CA and the time; signing is
elsewhere.

The request contributes a public key and a wished life, nothing else. The life is counted from now; the start is set
back a little for hosts whose clocks lag.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from byway.base.duration import Duration
from byway.base.errors import FaultError, UsageError
from byway.identity.csr import PublicKey
from byway.identity.spiffe import SpiffeId

_DAY: Final = Duration.of(seconds=86_400)


class RefusedLife(UsageError):
    """The requested life is negative or too short."""


class AuthorityExpired(FaultError):
    """The CA's own certificate leaves no life to give."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How long leaf certificates live. A wish beyond `longest` is cut to it, one below `shortest` is refused."""

    usual: Duration = _DAY
    longest: Duration = _DAY
    shortest: Duration = Duration.of(seconds=10)
    backdated: Duration = Duration.of(seconds=60)


class LeafTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf certificate before it is signed."""

    identity: SpiffeId
    dns_names: tuple[str, ...] = ()
    not_before: datetime
    not_after: datetime
    serial: int


def leaf_template(
    identity: SpiffeId,
    dns_names: tuple[str, ...],
    *,
    now: datetime,
    wished_s: int,
    serial: int,
    terms: Terms,
    ca_life: tuple[datetime, datetime],
) -> LeafTemplate:
    """The certificate for `identity`, inside the CA's terms and life; raises `RefusedLife`, `AuthorityExpired`."""
    ca_not_before, ca_not_after = ca_life
    life_s = _life_s(wished_s, terms)
    now = now.replace(microsecond=0)  # the encoding has whole seconds
    not_after = min(now + timedelta(seconds=life_s), ca_not_after)
    if not ca_not_before <= now < not_after:
        raise AuthorityExpired(
            f"the CA certificate is valid from {ca_not_before} to {ca_not_after}, "
            f"and it is {now} (replace the CA, or set the clock right)"
        )
    not_before = max(now - timedelta(seconds=terms.backdated.seconds), ca_not_before)
    return LeafTemplate(
        identity=identity, dns_names=dns_names, not_before=not_before, not_after=not_after, serial=serial
    )


def unsigned_leaf(template: LeafTemplate, key: PublicKey, issuer: x509.Certificate) -> x509.CertificateBuilder:
    """The leaf as X.509: no subject, so that the identity in its (critical) alternative name is its only name."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(template.identity))]
    names += [x509.DNSName(name) for name in template.dns_names]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(template.serial)
        .not_valid_before(template.not_before)
        .not_valid_after(template.not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(is_authority=False, is_rsa=isinstance(key, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
    )
    return builder.add_extension(authority_key_id(issuer), critical=False)


def key_usage(*, is_authority: bool, is_rsa: bool) -> x509.KeyUsage:
    """What a key is for: a CA signs certificates, a leaf signs handshakes (and, with RSA, unwraps keys)."""
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_encipherment=is_rsa and not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The link to the issuer's key, by the identifier that the issuer itself carries, where it carries one."""
    for extension in issuer.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
    public_key = issuer.public_key()
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)  # type: ignore[arg-type]


def _life_s(wished_s: int, terms: Terms) -> float:
    if wished_s < 0:
        raise RefusedLife(f"a life of {wished_s} s is negative")
    life_s = min(float(wished_s), terms.longest.seconds) if wished_s else min(terms.usual, terms.longest).seconds
    if life_s < terms.shortest.seconds:
        raise RefusedLife(f"a life of {life_s:.0f} s is shorter than {terms.shortest}")
    return life_s
