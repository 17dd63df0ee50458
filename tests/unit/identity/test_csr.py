"""From a request the mesh takes a proved public key, and refuses all that proves none."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from byway.identity.csr import WITH_RSA, RefusedRequest, proved_key

SHA256 = hashes.SHA256()
P256 = ec.generate_private_key(ec.SECP256R1())


def request(key: Any, *extensions: x509.ExtensionType, algorithm: Any = SHA256) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def rsa_request(bits: int) -> bytes:
    """A request with an RSA key of any size, which nobody has the patience to generate; its signature is nonsense."""
    modulus = ((1 << (bits - 1)) | 1).to_bytes(bits // 8 + 1, "big")
    rsa_oid, sha256_oid = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d01010b")
    numbers = der(0x30, der(0x02, modulus), der(0x02, b"\x01\x00\x01"))
    public = der(0x30, der(0x30, rsa_oid, b"\x05\x00"), der(0x03, b"\x00", numbers))
    info = der(0x30, der(0x02, b"\x00"), der(0x30), public, b"\xa0\x00")
    csr = der(0x30, info, der(0x30, sha256_oid, b"\x05\x00"), der(0x03, b"\x00" * (bits // 8 + 1)))
    return x509.load_der_x509_csr(csr).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_a_signed_request_proves_its_key(curve: ec.EllipticCurve) -> None:
    """P-256 and P-384 are what the mesh uses."""
    key = ec.generate_private_key(curve)
    assert proved_key(request(key)) == key.public_key()


def test_what_a_request_wishes_for_is_not_even_read() -> None:
    """Another's name, CA:TRUE and a NUL in a name change nothing: only the key is taken."""
    wishes = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier("spiffe://cluster.local/ns/istio-system/sa/byway"),
                x509.UniformResourceIdentifier("spiffe://cluster.local/ns/default/sa/web\x00"),
            ]
        ),
    ]
    assert proved_key(request(P256, *wishes)) == P256.public_key()


def test_rsa_is_signed_only_where_it_is_allowed_and_of_a_sane_size() -> None:
    """2,048 to 4,096 bits under the policy for other meshes' agents, never by default."""
    key = rsa.generate_private_key(65537, 2048)
    assert proved_key(request(key), WITH_RSA) == key.public_key()
    with pytest.raises(RefusedRequest, match="RSA keys are not allowed"):
        proved_key(request(key))


@pytest.mark.parametrize("bits", [1024, 2040, 4104, 8192])
def test_a_small_or_huge_rsa_key_is_refused_before_any_arithmetic(bits: int) -> None:
    """The size is looked at first; the nonsense signature is never checked."""
    with pytest.raises(RefusedRequest, match=f"{bits} bits"):
        proved_key(rsa_request(bits), WITH_RSA)


def test_a_monstrous_rsa_key_is_refused() -> None:
    """16,384 bits are refused, be it by the parser or by the policy."""
    with pytest.raises(RefusedRequest):
        proved_key(rsa_request(16_384), WITH_RSA)


def test_other_kinds_of_keys_are_refused() -> None:
    """Ed25519 (which Envoy's handshakes do not offer), P-521, and SHA-1's successors only."""
    for pem, reason in [
        (request(ed25519.Ed25519PrivateKey.generate(), algorithm=None), "is not allowed"),
        (request(ec.generate_private_key(ec.SECP521R1())), "secp521r1"),
        (request(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (request(P256, algorithm=hashes.SHA224()), "SHA-2"),
    ]:
        with pytest.raises(RefusedRequest, match=reason):
            proved_key(pem)


def test_a_wrong_signature_proves_nothing() -> None:
    """A request for somebody else's public key cannot be signed with one's own."""
    good = x509.load_pem_x509_csr(request(P256))
    broken = bytearray(good.public_bytes(Encoding.DER))
    broken[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(broken)).public_bytes(Encoding.PEM)
    with pytest.raises(RefusedRequest, match="not signed"):
        proved_key(pem)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"garbage",
        request(P256) * 2,
        request(P256) * 1000,
        request(P256) + b"trailing",
        b"leading\n" + request(P256),
        request(P256).replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 20_000 + b"\n-----END CERTIFICATE REQUEST-----\n",
        request(P256).replace(b"\n", b"\x00\n", 3),
    ],
)
def test_what_is_not_one_whole_pem_block_is_refused(pem: bytes) -> None:
    """Garbage, many blocks, text around the block, a wrong label, a NUL and an endless one."""
    with pytest.raises(RefusedRequest):
        proved_key(pem)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=400))
def test_no_mutation_of_a_request_raises_anything_else(noise: bytes, at: int) -> None:
    """Whatever bytes arrive, the answer is a key or a refusal."""
    pem = request(P256)
    mutated = pem[:at] + noise + pem[at + len(noise) :]
    with contextlib.suppress(RefusedRequest):
        proved_key(mutated)
