"""The signer: the CA's key in memory, and the certificate, chain and roots that belong to it.

It signs the templates of `issuance` and decides nothing. Keys are ECDSA P-256 where Byway makes them; a plugged-in CA
may bring an RSA key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from byway.authority.issuance import LeafTemplate, unsigned_leaf
from byway.base.errors import FaultError
from byway.identity.bundle import TrustBundle, is_issued_by
from byway.identity.csr import PublicKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_MAX_LINKS: Final = 8


class UnusableAuthority(FaultError):
    """A key, certificate and roots that do not make a CA together; the message says what does not fit."""


class Signer:
    """A CA that can sign. `intermediates` starts with `certificate` unless that is a root itself."""

    def __init__(
        self,
        key: PrivateKey,
        certificate: x509.Certificate,
        bundle: TrustBundle,
        chain: tuple[x509.Certificate, ...] = (),
    ) -> None:
        if key.public_key() != certificate.public_key():
            raise UnusableAuthority("the CA's key does not belong to its certificate (restore the pair from a backup)")
        self._key = key
        self.certificate = certificate
        self.bundle = bundle
        self.intermediates, self.root = _path(certificate, chain, bundle)

    @property
    def life(self) -> tuple[datetime, datetime]:
        """From when to when every certificate on the way to the root is valid."""
        links = (*self.intermediates, self.root)
        return max(link.not_valid_before_utc for link in links), min(link.not_valid_after_utc for link in links)

    def signed(self, template: LeafTemplate, key: PublicKey) -> bytes:
        """The leaf and the intermediates behind it, as PEM."""
        leaf = unsigned_leaf(template, key, self.certificate).sign(self._key, hashes.SHA256())
        return b"".join(link.public_bytes(Encoding.PEM) for link in (leaf, *self.intermediates))

    def check_life(self, now: datetime) -> None:
        """Raises `UnusableAuthority` where a certificate of the CA is not valid at `now`."""
        for link in (self.root, *self.intermediates):
            if not link.not_valid_before_utc <= now <= link.not_valid_after_utc:
                raise UnusableAuthority(
                    f"the CA certificate {link.subject.rfc4514_string()} is valid from {link.not_valid_before_utc} to "
                    f"{link.not_valid_after_utc}, and it is {now} (replace the CA, or set the clock right)"
                )


def private_key(pem: bytes) -> PrivateKey:
    """The CA key in `pem`; raises `UnusableAuthority`."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as fault:  # TypeError: it is encrypted
        raise UnusableAuthority("the CA's key is no unencrypted PEM key (restore it from a backup)") from fault
    if isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        return key
    raise UnusableAuthority(f"the CA's key is a {type(key).__name__}, not ECDSA or RSA")


def _path(
    certificate: x509.Certificate, chain: tuple[x509.Certificate, ...], bundle: TrustBundle
) -> tuple[tuple[x509.Certificate, ...], x509.Certificate]:
    roots = bundle.certificates
    if certificate in roots:
        return (), certificate
    links = [certificate]
    candidates = [link for link in chain if link != certificate and link not in roots]
    for _ in range(_MAX_LINKS):
        root = next((root for root in roots if is_issued_by(links[-1], root)), None)
        if root is not None:
            return tuple(links), root
        parent = next((link for link in candidates if link not in links and is_issued_by(links[-1], link)), None)
        if parent is None:
            break
        links.append(parent)
    raise UnusableAuthority("the CA's certificate leads to none of its roots (check cert-chain.pem and root-cert.pem)")
