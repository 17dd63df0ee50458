"""The messages of `istio.v1.auth.IstioCertificateService`, as values on one side and protobuf bytes on the other.

No installed package ships them, so they are declared here, in a descriptor pool of their own that collides with
nobody's. Source of the numbers: istio/api `security/v1alpha1/ca.proto`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, struct_pb2

from byway.base.errors import UsageError

SERVICE: Final = "istio.v1.auth.IstioCertificateService"
METHOD: Final = "CreateCertificate"
PATH: Final = f"/{SERVICE}/{METHOD}"

IMPERSONATED_IDENTITY: Final = "ImpersonatedIdentity"
"""Metadata key (Istio's): the workload for which an agent asks."""
NODE: Final = "Node"
"""Metadata key (Byway's own): the node that an agent runs on, believed on the control socket only."""

MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_RESPONSE_BYTES: Final = 1024 * 1024
_MAX_METADATA: Final = 32


class MalformedMessage(UsageError):
    """Bytes that are no message of this service."""


class CertificateRequest(msgspec.Struct, frozen=True):
    """What a client asks for; `validity_s` 0 leaves the choice to the CA."""

    csr_pem: bytes
    validity_s: int = 0
    metadata: dict[str, str] = {}


def encoded_request(request: CertificateRequest) -> bytes:
    """The request as protobuf."""
    encoded = _Request(csr=request.csr_pem.decode("ascii"), validity_duration=request.validity_s)
    encoded.metadata.update(request.metadata)
    return bytes(encoded.SerializeToString(deterministic=True))


def decoded_request(encoded: bytes) -> CertificateRequest:
    """The request that `encoded` holds; raises `MalformedMessage`."""
    decoded = _decoded(_Request, encoded, MAX_REQUEST_BYTES)
    fields = decoded.metadata.fields
    if len(fields) > _MAX_METADATA:
        raise MalformedMessage(f"request has more than {_MAX_METADATA} metadata fields")
    for key in (IMPERSONATED_IDENTITY, NODE):
        if key in fields and not fields[key].HasField("string_value"):
            raise MalformedMessage(f"metadata {key} is not a string")
    metadata = {key: value.string_value for key, value in fields.items() if value.HasField("string_value")}
    return CertificateRequest(decoded.csr.encode("utf-8"), decoded.validity_duration, metadata)


def encoded_response(cert_chain: tuple[str, ...]) -> bytes:
    """The response: leaf, intermediates, and as the last element the roots."""
    return bytes(_Response(cert_chain=cert_chain).SerializeToString(deterministic=True))


def decoded_response(encoded: bytes) -> tuple[str, ...]:
    """The chain that `encoded` holds; raises `MalformedMessage`."""
    chain = tuple(_decoded(_Response, encoded, MAX_RESPONSE_BYTES).cert_chain)
    if len(chain) < 2:
        raise MalformedMessage("response holds no certificate with its root")
    return chain


def _decoded(message_type: Any, encoded: bytes, limit: int) -> Any:
    if len(encoded) > limit:
        raise MalformedMessage(f"message is longer than {limit} bytes")
    try:
        return message_type.FromString(encoded)
    except message.DecodeError as fault:
        raise MalformedMessage(f"not a message of {SERVICE}: {fault}") from fault


def _file() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="security/v1alpha1/ca.proto",
        package="istio.v1.auth",
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name],
    )
    request = file.message_type.add(name="IstioCertificateRequest")
    request.field.add(name="csr", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    request.field.add(name="validity_duration", number=3, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    request.field.add(
        name="metadata",
        number=4,
        type=field.TYPE_MESSAGE,
        type_name=".google.protobuf.Struct",
        label=field.LABEL_OPTIONAL,
    )
    response = file.message_type.add(name="IstioCertificateResponse")
    response.field.add(name="cert_chain", number=1, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    return file


def _message_class(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"istio.v1.auth.{name}"))


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
_pool.AddSerializedFile(_file().SerializeToString())
_Request: Final = _message_class(_pool, "IstioCertificateRequest")
_Response: Final = _message_class(_pool, "IstioCertificateResponse")
