"""The messages of the CSR service, on the wire as Istio's."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from byway.identity.certificate_service import (
    IMPERSONATED_IDENTITY,
    PATH,
    CertificateRequest,
    MalformedMessage,
    decoded_request,
    decoded_response,
    encoded_request,
    encoded_response,
)


def test_a_request_has_istios_path_and_field_numbers() -> None:
    """Field 1 is the request, 3 the life, 4 the metadata: read by hand from the bytes."""
    assert PATH == "/istio.v1.auth.IstioCertificateService/CreateCertificate"
    metadata = struct_pb2.Struct()
    metadata.update({IMPERSONATED_IDENTITY: "spiffe://td/ns/a/sa/b"})
    struct = metadata.SerializeToString()
    by_hand = b"\x0a\x03csr" + b"\x18\x3c" + b"\x22" + bytes((len(struct),)) + struct
    request = CertificateRequest(b"csr", 60, {IMPERSONATED_IDENTITY: "spiffe://td/ns/a/sa/b"})
    assert encoded_request(request) == by_hand
    assert decoded_request(by_hand) == request


def test_a_response_is_a_chain_with_the_roots_last() -> None:
    """Field 1, repeated; a response without a root is none."""
    assert encoded_response(("leaf", "root")) == b"\x0a\x04leaf\x0a\x04root"
    assert decoded_response(b"\x0a\x04leaf\x0a\x04root") == ("leaf", "root")
    with pytest.raises(MalformedMessage):
        decoded_response(b"\x0a\x04leaf")


def test_a_negative_life_arrives_as_it_was_sent() -> None:
    """It is for the CA to refuse, not for the codec to lose."""
    assert decoded_request(encoded_request(CertificateRequest(b"x", -5))).validity_s == -5


def test_an_identity_that_is_no_string_is_malformed() -> None:
    """A wish of another type must not pass for no wish at all."""
    metadata = struct_pb2.Struct()
    metadata.update({IMPERSONATED_IDENTITY: 5})
    struct = metadata.SerializeToString()
    with pytest.raises(MalformedMessage, match="not a string"):
        decoded_request(b"\x22" + bytes((len(struct),)) + struct)


def nested(depth: int) -> bytes:
    value = b"\x1a\x01x"
    for _ in range(depth):
        listed = b"\x0a" + varint(len(value)) + value
        value = b"\x32" + varint(len(listed)) + listed
    entry = b"\x0a\x01k\x12" + varint(len(value)) + value
    struct = b"\x0a" + varint(len(entry)) + entry
    return b"\x22" + varint(len(struct)) + struct


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def test_bombs_are_malformed() -> None:
    """Deep nesting, length and many fields each have a bound."""
    many = CertificateRequest(b"x", 0, {str(n): "v" for n in range(33)})
    for encoded in (nested(5000), b"\x0a" * 70_000, encoded_request(many)):
        with pytest.raises(MalformedMessage):
            decoded_request(encoded)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_malformed(encoded: bytes) -> None:
    """Nothing else is ever raised."""
    with contextlib.suppress(MalformedMessage):
        decoded_request(encoded)
