"""The CA on disk, in `<state>/ca`: made at the first start, the same again at every later one; or where an operator has put
it for several control planes, which is read and never written.

Two forms are understood. Byway's own root: `root-key.pem` (0600) and `root-cert.pem`. A plugged-in intermediate in
Istio's `cacerts` form: `ca-key.pem`, `ca-cert.pem`, `cert-chain.pem`, `root-cert.pem`; where `ca-key.pem` lies it
wins, and Byway never makes a root of its own beside it. `root-cert.pem` may hold further roots, which are believed
but not signed with: so a root is rotated.

`<state>/root-cert.pem` is the published copy of the roots, which agents pin. Keys are written before certificates and
certificates before anything is signed, so a crash at any point leaves a CA that the next start completes.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from byway.authority.issuance import key_usage
from byway.authority.private_files import (
    check_unwritable,
    exclusive,
    private_directory,
    read_public,
    read_secret,
    write_atomically,
)
from byway.authority.signer import PrivateKey, Signer, UnusableAuthority, private_key
from byway.base.errors import BywayError
from byway.identity.bundle import TrustBundle, trust_bundle
from byway.identity.certificate import MalformedCertificate, certificates
from byway.identity.spiffe import SpiffeId, TrustDomain

ROOT_LIFE: Final = timedelta(days=3650)
_ROOT_BACKDATED: Final = timedelta(days=1)
"""A root cannot be renewed at leisure, so a clock that is set back by hours must not stop it."""

_ROOT_KEY: Final = "root-key.pem"
_ROOT_CERT: Final = "root-cert.pem"
_CA_KEY: Final = "ca-key.pem"
_CA_CERT: Final = "ca-cert.pem"
_CERT_CHAIN: Final = "cert-chain.pem"
_BELIEVED: Final = (_ROOT_CERT, _CA_CERT, _CERT_CHAIN)


def opened_signer(
    state: Path, trust_domain: TrustDomain, now: datetime, *, given: Path | None = None, may_make: bool = True
) -> Signer:
    """The mesh's CA: the one in the directory `given`, else that in `state`, made there if it is the first time and it
    `may_make` one; raises a one-line `FaultError` if unusable.
    """
    private_directory(state)
    directory = given or state / "ca"
    if given is None:
        private_directory(directory)
    elif given.exists():
        for path in (given, *(given / name for name in _BELIEVED if (given / name).exists())):
            check_unwritable(path)
    with contextlib.nullcontext() if given else exclusive(directory):
        try:
            if (directory / _CA_KEY).exists():
                signer = _plugged_in(directory)
            else:
                signer = _own(directory, trust_domain, now, may_make=may_make and given is None)
            _check_trust_domain(signer.root, trust_domain)
            signer.check_life(now)
        except UnusableAuthority as fault:
            raise UnusableAuthority(f"{directory}: {fault}") from fault
        except MalformedCertificate as fault:
            raise UnusableAuthority(f"{directory}: {fault} (restore it from a backup)") from fault
        _publish(state / _ROOT_CERT, signer.bundle)
    return signer


def fingerprint(root: x509.Certificate) -> str:
    """What tells one root from every other: SHA-256 in hexadecimal, as `openssl x509 -fingerprint -sha256` has it."""
    return root.fingerprint(hashes.SHA256()).hex()


def _own(directory: Path, trust_domain: TrustDomain, now: datetime, *, may_make: bool) -> Signer:
    key_path, cert_path = directory / _ROOT_KEY, directory / _ROOT_CERT
    if key_path.exists():
        key = private_key(read_secret(key_path))
    elif cert_path.exists():
        raise UnusableAuthority(f"{_ROOT_CERT} has no {_ROOT_KEY} beside it (restore the key, or remove both)")
    elif not may_make:
        raise UnusableAuthority(
            f"no CA is here (put the mesh's own here: {_CA_KEY} or {_ROOT_KEY} and what belongs to it)"
        )
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(key_path, pem, 0o600)
    if not cert_path.exists() and not may_make:
        raise UnusableAuthority(f"{_ROOT_KEY} has no {_ROOT_CERT} beside it (copy both)")
    if not cert_path.exists():
        root = root_certificate(key, trust_domain, now, x509.random_serial_number())
        write_atomically(cert_path, root.public_bytes(Encoding.PEM), 0o644)
    roots = certificates(read_public(cert_path))
    own = next((root for root in roots if root.public_key() == key.public_key()), roots[0])
    return Signer(key, own, trust_bundle(read_public(cert_path)))


def _plugged_in(directory: Path) -> Signer:
    key = private_key(read_secret(directory / _CA_KEY))
    certificate = certificates(read_public(directory / _CA_CERT))[0]
    chain_path = directory / _CERT_CHAIN
    chain = certificates(read_public(chain_path)) if chain_path.exists() else ()
    return Signer(key, certificate, trust_bundle(read_public(directory / _ROOT_CERT)), chain)


def root_certificate(key: PrivateKey, trust_domain: TrustDomain, now: datetime, serial: int) -> x509.Certificate:
    """A self-signed root for `trust_domain`; its name holds its serial number, so that no two roots share a name."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Byway"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"root {serial:x}"[:64]),
        ]
    )
    uri = x509.UniformResourceIdentifier(str(SpiffeId(trust_domain)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _ROOT_BACKDATED)
        .not_valid_after(now + ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(is_authority=True, is_rsa=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _check_trust_domain(root: x509.Certificate, trust_domain: TrustDomain) -> None:
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return  # a plugged-in root need not name its trust domain
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if uris and str(SpiffeId(trust_domain)) not in uris:
        raise UnusableAuthority(
            f"the root is for {', '.join(uris)}, the mesh is {trust_domain} (set trustDomain to it)"
        )


def _publish(path: Path, bundle: TrustBundle) -> None:
    try:
        is_current = path.exists() and trust_bundle(read_public(path)) == bundle
    except BywayError:
        is_current = False  # it is a copy; whatever is wrong with it, writing it again is the cure
    if not is_current:
        write_atomically(path, bundle.pem, 0o644)
