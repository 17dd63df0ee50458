"""Mutual TLS between sidecars: identities from the agent's SDS, peers checked by their SPIFFE ids.

Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/tls.proto
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

from byway.model.names import AGENT_CLUSTER, SDS_BUNDLE, SDS_IDENTITY
from byway.xds.message import packed, seconds

MESH_ALPN = ("istio", "istio-h2", "istio-http/1.1")
"""What sidecars offer besides the protocol itself, as Istio's do: it sets their TLS apart from an application's own."""

_OFFERED = {
    "h2": ("istio-h2", "istio", "h2"),
    "http/1.1": ("istio-http/1.1", "istio", "http/1.1"),
    "tcp": ("istio",),
}
"""A server chooses what it speaks: Envoy picks the codec by the chosen name, so that must be HTTP's own."""

_ACCEPTED_HTTP = ("h2", "http/1.1")
_ACCEPTED_TCP = ("istio",)
Speaks = Literal["h2", "http/1.1", "tcp"]
_SAN = SubjectAltNameMatcher.SanType


def sds(name: str) -> SdsSecretConfig:
    """A secret served by the workload's agent; connections wait for it at most 10 s when a listener starts."""
    source = ConfigSource(
        api_config_source=ApiConfigSource(
            api_type=ApiConfigSource.ApiType.GRPC,
            transport_api_version=ApiVersion.V3,
            grpc_services=[GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=AGENT_CLUSTER))],
            set_node_on_first_message_only=True,
        ),
        resource_api_version=ApiVersion.V3,
        initial_fetch_timeout=seconds(10),
    )
    return SdsSecretConfig(name=name, sds_config=source)


@lru_cache(maxsize=16)
def inbound_socket(trust_domain: str, *, is_http: bool) -> TransportSocket:
    """TLS that demands a certificate of the mesh's trust domain; one message for all who ask, to be copied."""
    matcher = SubjectAltNameMatcher(san_type=_SAN.URI, matcher=StringMatcher(prefix=f"spiffe://{trust_domain}/"))
    context = DownstreamTlsContext(
        common_tls_context=_common(_ACCEPTED_HTTP if is_http else _ACCEPTED_TCP, [matcher]),
        require_client_certificate=BoolValue(value=True),
        disable_stateless_session_resumption=True,
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def outbound_socket(sni: str, identities: tuple[str, ...], speaks: Speaks) -> TransportSocket:
    """TLS that accepts only servers with one of `identities`; with none known it accepts nobody."""
    matchers = [
        SubjectAltNameMatcher(san_type=_SAN.URI, matcher=StringMatcher(exact=identity))
        for identity in identities or ("spiffe://invalid/no-identity-is-known",)
    ]
    context = UpstreamTlsContext(common_tls_context=_common(_OFFERED[speaks], matchers), sni=sni)
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def public_socket(sni: str) -> TransportSocket:
    """TLS to a server outside the mesh, checked against the system's roots (a DestinationRule's mode SIMPLE)."""
    validation = CertificateValidationContext(
        trusted_ca={"filename": "/etc/ssl/certs/ca-certificates.crt"},
        match_typed_subject_alt_names=[SubjectAltNameMatcher(san_type=_SAN.DNS, matcher=StringMatcher(exact=sni))],
    )
    context = UpstreamTlsContext(common_tls_context=CommonTlsContext(validation_context=validation), sni=sni)
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def plain_socket() -> TransportSocket:
    """No TLS."""
    return TransportSocket(name="envoy.transport_sockets.raw_buffer", typed_config=packed(RawBuffer()))


def _common(alpn: tuple[str, ...], matchers: list[SubjectAltNameMatcher]) -> CommonTlsContext:
    combined = CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=matchers),
        validation_context_sds_secret_config=sds(SDS_BUNDLE),
    )
    return CommonTlsContext(
        # Both: as a client Envoy would otherwise offer at most 1.2.
        tls_params=TlsParameters(
            tls_minimum_protocol_version=TlsParameters.TlsProtocol.TLSv1_3,
            tls_maximum_protocol_version=TlsParameters.TlsProtocol.TLSv1_3,
        ),
        alpn_protocols=list(alpn),
        tls_certificate_sds_secret_configs=[sds(SDS_IDENTITY)],
        combined_validation_context=combined,
    )
