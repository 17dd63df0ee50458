"""Responses put together from bytes are what the generated classes would write."""

from __future__ import annotations

import hypothesis.strategies as st
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given

from byway.ads import wire
from byway.ads.action import Entry, Send
from byway.model import names

_TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


def body(cluster_name: str) -> bytes:
    wrapped = AnyMessage()
    wrapped.Pack(endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster_name))
    return wrapped.SerializeToString()


_ENTRIES = st.builds(
    Entry, name=_TEXT, version=_TEXT, body=st.none() | _TEXT.map(body), aliases=st.lists(_TEXT, max_size=3).map(tuple)
)
_SENDS = st.builds(
    Send,
    type_url=st.sampled_from((names.TYPE_CLUSTER, names.TYPE_ENDPOINTS)),
    nonce=_TEXT,
    entries=st.lists(_ENTRIES, max_size=5).map(tuple),
    removed=st.lists(_TEXT, max_size=5).map(tuple),
)


@given(_SENDS)
def test_a_response_reads_back_as_what_was_sent(send: Send) -> None:
    """Field for field, whatever the names are."""
    decoded = discovery_pb2.DeltaDiscoveryResponse.FromString(wire.response(send))
    entries = [
        Entry(r.name, r.version, r.resource.SerializeToString() if r.HasField("resource") else None, tuple(r.aliases))
        for r in decoded.resources
    ]
    assert (decoded.type_url, decoded.nonce, tuple(decoded.removed_resources)) == (
        send.type_url,
        send.nonce,
        send.removed,
    )
    assert tuple(entries) == send.entries


@given(_SENDS)
def test_a_response_is_what_the_generated_classes_write(send: Send) -> None:
    """Byte for byte, where no field has its default (which they leave out)."""
    message = discovery_pb2.DeltaDiscoveryResponse(type_url=send.type_url, nonce=send.nonce)
    message.removed_resources.extend(send.removed)
    for entry in send.entries:
        resource = message.resources.add(name=entry.name, version=entry.version, aliases=entry.aliases)
        if entry.body is not None:
            resource.resource.ParseFromString(entry.body)
    reparsed = discovery_pb2.DeltaDiscoveryResponse.FromString(wire.response(send))
    assert reparsed.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
    if send.nonce and all(entry.name and entry.version for entry in send.entries):
        assert wire.response(send) == message.SerializeToString(deterministic=True)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(message: bytes) -> None:
    """Never an exception."""
    assert isinstance(wire.request(message), tuple | wire.Malformed)


def test_metadata_keeps_what_is_text() -> None:
    """A claim is a flat table of strings; anything else in it is nobody's business here."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url="t")
    request.node.id = "web.default"
    request.node.metadata.update({"EPOCH": "7", "LABELS": {"app": "web"}, "N": 3})
    decoded = wire.request(request.SerializeToString())
    assert isinstance(decoded, tuple)
    assert decoded[1] == wire.Claim("web.default", {"EPOCH": "7"})


def test_metadata_of_any_depth_is_malformed_or_read() -> None:
    """Ten thousand levels of a Struct."""
    nested = b""
    for _ in range(10_000):
        value = b"\x2a" + varint(len(nested)) + nested  # Value.struct_value
        entry = b"\x0a\x01a\x12" + varint(len(value)) + value
        nested = b"\x0a" + varint(len(entry)) + entry  # Struct.fields
    node = b"\x1a" + varint(len(nested)) + nested  # Node.metadata
    assert isinstance(wire.request(b"\x0a" + varint(len(node)) + node), wire.Malformed)


def varint(value: int) -> bytes:
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
