"""Delta ADS on the wire: requests are decoded by the generated classes, responses are put together from bytes.

A resource was serialised once when it was built; a response only lays protobuf's field headers around those bytes, so a
push to a thousand proxies builds no message. The tests hold the result against the generated classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from byway.ads.action import Entry, Send
from byway.ads.event import Requested

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = "DeltaAggregatedResources"

# (field number << 3) | 2, length-delimited; envoy/service/discovery/v3/discovery.proto
_RESPONSE_RESOURCE = b"\x12"
_RESPONSE_TYPE_URL = b"\x22"
_RESPONSE_NONCE = b"\x2a"
_RESPONSE_REMOVED = b"\x32"
_RESOURCE_VERSION = b"\x0a"
_RESOURCE_BODY = b"\x12"
_RESOURCE_NAME = b"\x1a"
_RESOURCE_ALIAS = b"\x22"


class Claim(msgspec.Struct, frozen=True):
    """What a peer says of itself; nothing in it is believed without the certificate."""

    node_id: str
    metadata: Mapping[str, str]


class Malformed(msgspec.Struct, frozen=True):
    """The peer sent what is no request."""

    reason: str


def request(message: bytes) -> tuple[Requested, Claim | None] | Malformed:
    """The request that `message` spells, and the node it names, if any."""
    try:
        decoded = discovery_pb2.DeltaDiscoveryRequest.FromString(message)
    except DecodeError:
        return Malformed("not a DeltaDiscoveryRequest")
    event = Requested(
        type_url=decoded.type_url,
        subscribe=tuple(decoded.resource_names_subscribe),
        unsubscribe=tuple(decoded.resource_names_unsubscribe),
        initial_versions=dict(decoded.initial_resource_versions),
        nonce=decoded.response_nonce,
        error=decoded.error_detail.message if decoded.HasField("error_detail") else None,
    )
    return event, claim_of(decoded)


def claim_of(request: discovery_pb2.DeltaDiscoveryRequest | discovery_pb2.DiscoveryRequest) -> Claim | None:
    """The node that a request names, if any."""
    if not request.HasField("node"):
        return None
    fields = request.node.metadata.fields
    metadata = {k: v.string_value for k, v in fields.items() if v.WhichOneof("kind") == "string_value"}
    return Claim(request.node.id, metadata)


def response(send: Send) -> bytes:
    """The serialized DeltaDiscoveryResponse."""
    return b"".join(_response_parts(send))


def _response_parts(send: Send) -> Iterator[bytes]:
    for entry in send.entries:
        yield from _field(_RESPONSE_RESOURCE, b"".join(_resource_parts(entry)))
    yield from _field(_RESPONSE_TYPE_URL, send.type_url.encode())
    yield from _field(_RESPONSE_NONCE, send.nonce.encode())
    for name in send.removed:
        yield from _field(_RESPONSE_REMOVED, name.encode())


def _resource_parts(entry: Entry) -> Iterator[bytes]:
    yield from _field(_RESOURCE_VERSION, entry.version.encode())
    if entry.body is not None:
        yield from _field(_RESOURCE_BODY, entry.body)
    yield from _field(_RESOURCE_NAME, entry.name.encode())
    for alias in entry.aliases:
        yield from _field(_RESOURCE_ALIAS, alias.encode())


def _field(tag: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    return tag, _varint(len(content)), content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
