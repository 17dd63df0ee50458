"""The CA is made once, found again, and refused in one readable line when it is not whole."""

from __future__ import annotations

import fcntl
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from byway.authority.authority import Authority
from byway.authority.vault import fingerprint, opened_signer, root_certificate
from byway.base.errors import FaultError
from byway.identity.bundle import trust_bundle, trusted_leaf
from byway.identity.certificate import certificates
from byway.identity.spiffe import TrustDomain, workload_id

WEB = workload_id("cluster.local", "default", "web")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pem_of(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def refusal(state: Path, trust_domain: TrustDomain, now: Any) -> str:
    with pytest.raises(FaultError) as caught:
        opened_signer(state, trust_domain, now)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_first_start_makes_a_root_of_ten_years_for_its_owner_only(
    state: Path, clock: Any, trust_domain: TrustDomain
) -> None:
    """Key 0600, directories 0700, P-256, and the roots published beside."""
    old = os.umask(0)
    try:
        signer = opened_signer(state, trust_domain, clock.now())
    finally:
        os.umask(old)
    assert mode(state) == mode(state / "ca") == 0o700
    assert mode(state / "ca" / "root-key.pem") == 0o600
    assert signer.root.not_valid_after_utc == clock.now() + timedelta(days=3650)
    assert isinstance(signer.root.public_key(), ec.EllipticCurvePublicKey)
    assert trust_bundle((state / "root-cert.pem").read_bytes()) == signer.bundle
    assert sorted(entry.name for entry in (state / "ca").iterdir()) == ["root-cert.pem", "root-key.pem"]


def test_a_strict_umask_does_not_hide_the_published_roots(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """Modes are set, whatever the umask: the key for its owner, the roots for everybody who may enter."""
    old = os.umask(0o177)
    try:
        state.mkdir()
        state.chmod(0o700)
        (state / "ca").mkdir()
        (state / "ca").chmod(0o700)
        opened_signer(state, trust_domain, clock.now())
    finally:
        os.umask(old)
    assert mode(state / "root-cert.pem") == 0o644
    assert mode(state / "ca" / "root-key.pem") == 0o600


def test_a_later_start_finds_the_same_root(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """A certificate signed before a restart is trusted after it; the clock may have gone back by hours."""
    first = opened_signer(state, trust_domain, clock.now())
    again = opened_signer(state, trust_domain, clock.now() - timedelta(hours=5))
    assert again.root == first.root
    assert again.bundle == first.bundle


def test_a_crash_while_the_root_is_made_is_completed_by_the_next_start(
    state: Path, clock: Any, trust_domain: TrustDomain
) -> None:
    """A key without a certificate has signed nothing yet; half-written files are thrown away."""
    first = opened_signer(state, trust_domain, clock.now())
    (state / "ca" / "root-cert.pem").unlink()
    (state / "ca" / ".root-cert.pem.new").write_bytes(b"half")
    (state / "root-cert.pem").write_bytes(b"half")
    again = opened_signer(state, trust_domain, clock.now())
    assert again.certificate.public_key() == first.certificate.public_key()
    assert trust_bundle((state / "root-cert.pem").read_bytes()) == again.bundle


def test_a_key_or_directory_open_to_others_is_refused_with_the_cure(
    state: Path, clock: Any, trust_domain: TrustDomain
) -> None:
    """The message is the command to run."""
    opened_signer(state, trust_domain, clock.now())
    key = state / "ca" / "root-key.pem"
    for path, wrong, right in (
        (key, 0o640, 0o600),
        (key, 0o604, 0o600),
        (state / "ca", 0o755, 0o700),
        (state, 0o750, 0o700),
    ):
        path.chmod(wrong)
        assert f"chmod {right:o} {path}" in refusal(state, trust_domain, clock.now())
        path.chmod(right)
    opened_signer(state, trust_domain, clock.now())


def test_a_key_behind_a_link_is_refused(state: Path, clock: Any, trust_domain: TrustDomain, tmp_path: Path) -> None:
    """A link could lead to a file that somebody else keeps."""
    opened_signer(state, trust_domain, clock.now())
    key = state / "ca" / "root-key.pem"
    key.rename(tmp_path / "elsewhere.pem")
    key.symlink_to(tmp_path / "elsewhere.pem")
    assert "cannot read" in refusal(state, trust_domain, clock.now())


def test_a_pair_that_does_not_match_is_refused(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """Another key, a lost key, garbage in either file."""
    opened_signer(state, trust_domain, clock.now())
    key, cert = state / "ca" / "root-key.pem", state / "ca" / "root-cert.pem"
    good_key, good_cert = key.read_bytes(), cert.read_bytes()
    key.write_bytes(pem_of(ec.generate_private_key(ec.SECP256R1())))
    assert "does not belong to its certificate" in refusal(state, trust_domain, clock.now())
    key.write_bytes(b"garbage")
    assert "no unencrypted PEM key" in refusal(state, trust_domain, clock.now())
    key.unlink()
    assert "restore the key" in refusal(state, trust_domain, clock.now())
    key.touch(0o600)
    key.write_bytes(good_key)
    cert.write_bytes(b"garbage")
    assert "restore it from a backup" in refusal(state, trust_domain, clock.now())
    cert.write_bytes(good_cert)
    opened_signer(state, trust_domain, clock.now())


def test_an_expired_root_and_one_of_the_future_are_reported(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """Both the life and the clock's opinion stand in the message."""
    opened_signer(state, trust_domain, clock.now())
    for jump in (timedelta(days=3651), timedelta(days=-365)):
        assert "set the clock right" in refusal(state, trust_domain, clock.now() + jump)


def test_a_root_of_another_trust_domain_is_refused(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """A changed trustDomain would otherwise sign identities that nobody believes."""
    opened_signer(state, trust_domain, clock.now())
    assert "spiffe://cluster.local" in refusal(state, TrustDomain("other.domain"), clock.now())


def test_two_processes_do_not_make_two_roots(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """While one holds the directory, the other is turned away rather than kept waiting."""
    opened_signer(state, trust_domain, clock.now())
    held = os.open(state / "ca", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another process" in refusal(state, trust_domain, clock.now())
    finally:
        os.close(held)


def test_a_second_root_in_the_file_is_believed_but_not_signed_with(
    state: Path, clock: Any, trust_domain: TrustDomain
) -> None:
    """That is how a root is rotated: first everybody believes it."""
    first = opened_signer(state, trust_domain, clock.now())
    other = root_certificate(ec.generate_private_key(ec.SECP256R1()), trust_domain, clock.now(), 5)
    cert = state / "ca" / "root-cert.pem"
    cert.write_bytes(other.public_bytes(Encoding.PEM) + cert.read_bytes())
    again = opened_signer(state, trust_domain, clock.now())
    assert again.certificate == first.certificate
    assert len(again.bundle.roots) == 2
    assert trust_bundle((state / "root-cert.pem").read_bytes()) == again.bundle


def plug_in(state: Path, now: Any, trust_domain: TrustDomain, *, with_chain: bool = True) -> x509.Certificate:
    directory = state / "ca"
    directory.mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = root_certificate(root_key, trust_domain, now, 1)
    key = rsa.generate_private_key(65537, 2048)
    middle = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate")]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=20))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    (directory / "ca-key.pem").touch(0o600)
    (directory / "ca-key.pem").write_bytes(pem_of(key))
    (directory / "ca-cert.pem").write_bytes(middle.public_bytes(Encoding.PEM))
    (directory / "root-cert.pem").write_bytes(root.public_bytes(Encoding.PEM))
    if with_chain:
        chain = middle.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)
        (directory / "cert-chain.pem").write_bytes(chain)
    return middle


@pytest.mark.parametrize("with_chain", [True, False])
def test_a_plugged_in_intermediate_signs_and_sends_itself_along(
    state: Path, clock: Any, trust_domain: TrustDomain, with_chain: bool
) -> None:
    """Istio's `cacerts` form, with an RSA key as Istio's own tools make it."""
    middle = plug_in(state, clock.now(), trust_domain, with_chain=with_chain)
    authority = Authority(opened_signer(state, trust_domain, clock.now()), trust_domain, clock)
    chain = authority.issue(WEB, ec.generate_private_key(ec.SECP256R1()).public_key(), via="test")
    assert certificates(chain)[1:] == (middle,)
    assert trusted_leaf(chain, authority.bundle, clock.now()).identity == WEB
    assert not (state / "ca" / "root-key.pem").exists()
    (warning,) = authority.diagnostics()
    assert "expires in 20 days" in str(warning)


def test_an_intermediate_that_leads_to_no_root_is_refused(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    """A root of the wrong mesh beside it is found at the start, not by the first handshake."""
    plug_in(state, clock.now(), trust_domain)
    stranger = root_certificate(ec.generate_private_key(ec.SECP256R1()), trust_domain, clock.now(), 9)
    (state / "ca" / "root-cert.pem").write_bytes(stranger.public_bytes(Encoding.PEM))
    assert "leads to none of its roots" in refusal(state, trust_domain, clock.now())


def test_a_given_directory_is_read_and_never_written(
    state: Path, clock: Any, trust_domain: TrustDomain, tmp_path: Path
) -> None:
    """Control planes that share a CA sign under one root; each publishes the roots in its own state."""
    first = opened_signer(state, trust_domain, clock.now())
    shared = state / "ca"
    before = {path.name: path.read_bytes() for path in shared.iterdir()}
    other = tmp_path / "other"
    second = opened_signer(other, trust_domain, clock.now(), given=shared)
    assert fingerprint(second.root) == fingerprint(first.root)
    assert {path.name: path.read_bytes() for path in shared.iterdir()} == before
    assert not (other / "ca").exists()
    assert (other / "root-cert.pem").read_bytes() == (state / "root-cert.pem").read_bytes()


@pytest.mark.parametrize("name", [".", "root-cert.pem"])
def test_roots_that_others_may_write_are_not_believed(
    state: Path, clock: Any, trust_domain: TrustDomain, tmp_path: Path, name: str
) -> None:
    """Whoever can add a root can add a mesh."""
    opened_signer(state, trust_domain, clock.now())
    (state / "ca" / name).chmod(0o777 if name == "." else 0o666)
    with pytest.raises(FaultError, match=r"may be changed by others, mode .* \(run: chmod go-w "):
        opened_signer(tmp_path / "other", trust_domain, clock.now(), given=state / "ca")


@pytest.mark.parametrize("has_key", [False, True])
def test_no_root_is_made_where_one_was_to_be_given(
    state: Path, clock: Any, trust_domain: TrustDomain, tmp_path: Path, has_key: bool
) -> None:
    """An empty directory, or half of a CA, is a mistake; a root made there would be another mesh's."""
    given = tmp_path / "given"
    given.mkdir()
    if has_key:
        opened_signer(tmp_path / "made", trust_domain, clock.now())
        key = (tmp_path / "made" / "ca" / "root-key.pem").read_bytes()
        (given / "root-key.pem").write_bytes(key)
        (given / "root-key.pem").chmod(0o600)
    names = sorted(path.name for path in given.iterdir())
    with pytest.raises(FaultError, match=r"copy both" if has_key else r"no CA is here"):
        opened_signer(state, trust_domain, clock.now(), given=given)
    assert sorted(path.name for path in given.iterdir()) == names


def test_none_is_made_where_the_mesh_has_one_already(state: Path, clock: Any, trust_domain: TrustDomain) -> None:
    with pytest.raises(FaultError, match="no CA is here"):
        opened_signer(state, trust_domain, clock.now(), may_make=False)
    assert list((state / "ca").iterdir()) == []
