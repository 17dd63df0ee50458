"""Clusters → Envoy clusters.

Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/cluster.proto
"""

from __future__ import annotations

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from envoy.config.core.v3.address_pb2 import BindConfig, SocketAddress
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EndpointMessage
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions as UpstreamOptions
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from byway.base.duration import Duration
from byway.model.destination import Balancing, Cluster, ConnectionLimits, Ejection, Transport
from byway.model.listener import InboundPort
from byway.xds.endpoints import address
from byway.xds.message import duration, packed, seconds
from byway.xds.telemetry import cluster_metadata
from byway.xds.tls import Speaks, outbound_socket, plain_socket, public_socket

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3, initial_fetch_timeout=seconds(5))
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UNLIMITED = 4294967295
_FIVE_MINUTES = Duration.of(seconds=300)
_POLICY = {
    Balancing.LEAST_REQUEST: ClusterMessage.LbPolicy.LEAST_REQUEST,
    Balancing.ROUND_ROBIN: ClusterMessage.LbPolicy.ROUND_ROBIN,
    Balancing.RANDOM: ClusterMessage.LbPolicy.RANDOM,
}


def outbound_cluster(cluster: Cluster) -> ClusterMessage:
    """A destination: endpoints over ADS, HTTP/2 and mutual TLS to instances with a sidecar."""
    policy = cluster.policy
    message = ClusterMessage(
        name=cluster.name,
        type=ClusterMessage.DiscoveryType.EDS,
        eds_cluster_config=ClusterMessage.EdsClusterConfig(eds_config=ADS),
        connect_timeout=duration(cluster.connect_timeout),
        circuit_breakers=_circuit_breakers(policy.limits),
        lb_policy=_POLICY.get(policy.balancing or Balancing.LEAST_REQUEST, ClusterMessage.LbPolicy.LEAST_REQUEST),
        common_lb_config=ClusterMessage.CommonLbConfig(
            healthy_panic_threshold=Percent(value=(policy.ejection and policy.ejection.min_health_percent) or 0)
        ),
    )
    if policy.ejection is not None:
        message.outlier_detection.CopyFrom(_outlier_detection(policy.ejection))
    if cluster.protocol.is_http:
        message.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(packed(_http_options(cluster)))
    message.metadata.CopyFrom(cluster_metadata(cluster.service, cluster.service_name, cluster.service_namespace))
    if cluster.plain_instances:
        # Envoy goes on using the connections that it has when an instance changes to or from plain text; a cluster that
        # is another one opens new ones, and finishes on the old ones what was begun.
        message.metadata.filter_metadata["byway.plain"].update({"instances": list(cluster.plain_instances)})
    _secure(message, cluster)
    return message


def inbound_cluster(name: str, port: InboundPort) -> ClusterMessage:
    """The application itself, on the loopback of its own namespace."""
    message = _local(name, "127.0.0.1", port.application, port.limits)
    message.metadata.CopyFrom(cluster_metadata(port.service, port.service_name, port.namespace))
    if port.protocol.is_http:
        options = UpstreamOptions()
        if port.protocol.is_http2:
            options.explicit_http_config.http2_protocol_options.CopyFrom(Http2ProtocolOptions())
        else:
            options.explicit_http_config.http_protocol_options.CopyFrom(Http1ProtocolOptions())
        message.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(packed(options))
    return message


def original_destination_cluster(name: str, source: str = "") -> ClusterMessage:
    """Wherever the connection was going before it was intercepted; it leaves from `source` where that is given."""
    message = ClusterMessage(
        name=name,
        type=ClusterMessage.DiscoveryType.ORIGINAL_DST,
        lb_policy=ClusterMessage.LbPolicy.CLUSTER_PROVIDED,
        connect_timeout=seconds(10),
        circuit_breakers=_circuit_breakers(None),
    )
    if source:
        message.upstream_bind_config.CopyFrom(BindConfig(source_address=SocketAddress(address=source, port_value=0)))
    return message


def refusing_cluster(name: str) -> ClusterMessage:
    """Nowhere: connections are closed, requests get 503."""
    return ClusterMessage(name=name, type=ClusterMessage.DiscoveryType.STATIC, connect_timeout=seconds(1))


def _local(name: str, host: str, port: int, limits: ConnectionLimits | None) -> ClusterMessage:
    endpoint = LbEndpoint(endpoint=EndpointMessage(address=address(host, port)))
    return ClusterMessage(
        name=name,
        type=ClusterMessage.DiscoveryType.STATIC,
        connect_timeout=seconds(10),
        circuit_breakers=_circuit_breakers(limits),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )


def _secure(message: ClusterMessage, cluster: Cluster) -> None:
    transport = cluster.policy.transport or Transport.AUTO
    mutual = outbound_socket(cluster.sni, cluster.identities, _speaks(cluster))
    if transport is Transport.MUTUAL:
        message.transport_socket.CopyFrom(mutual)
    elif transport is Transport.SIMPLE:
        message.transport_socket.CopyFrom(public_socket(cluster.policy.sni or cluster.service))
    elif transport is Transport.AUTO:
        match = Struct()
        match.update({"tlsMode": "istio"})
        message.transport_socket_matches.append(
            ClusterMessage.TransportSocketMatch(name="mesh", match=match, transport_socket=mutual)
        )
        message.transport_socket_matches.append(
            ClusterMessage.TransportSocketMatch(name="plain", match=Struct(), transport_socket=plain_socket())
        )


def _speaks(cluster: Cluster) -> Speaks:
    # HTTP/2 between sidecars whatever the application speaks: one connection, and faster than HTTP/1.1 (measured).
    if not cluster.protocol.is_http:
        return "tcp"
    if cluster.name.startswith("tcp|"):
        # A client that was silent for too long was not recognised as HTTP; its bytes are passed on as they are.
        return "h2" if cluster.protocol.is_http2 else "http/1.1"
    return "h2" if cluster.is_meshed or cluster.protocol.is_http2 else "http/1.1"


def _circuit_breakers(limits: ConnectionLimits | None) -> CircuitBreakers:
    # Envoy's own defaults (1,024) would be a hidden limit; like Istio, nothing is limited unless somebody said so.
    limits = limits or ConnectionLimits()
    thresholds = CircuitBreakers.Thresholds(
        max_connections=UInt32Value(value=limits.max_connections or _UNLIMITED),
        max_pending_requests=UInt32Value(value=limits.max_pending_requests or _UNLIMITED),
        max_requests=UInt32Value(value=limits.max_requests or _UNLIMITED),
        max_retries=UInt32Value(value=limits.max_retries or _UNLIMITED),
        track_remaining=False,
    )
    return CircuitBreakers(thresholds=[thresholds])


def _outlier_detection(ejection: Ejection) -> OutlierDetection:
    message = OutlierDetection(
        enforcing_success_rate=UInt32Value(value=0),
        enforcing_failure_percentage=UInt32Value(value=0),
        split_external_local_origin_errors=ejection.splits_local_failures,
    )
    counts = (
        ("consecutive_5xx", "enforcing_consecutive_5xx", ejection.consecutive_5xx),
        ("consecutive_gateway_failure", "enforcing_consecutive_gateway_failure", ejection.consecutive_gateway_errors),
        (
            "consecutive_local_origin_failure",
            "enforcing_consecutive_local_origin_failure",
            ejection.consecutive_local_failures,
        ),
    )
    for field, enforcing, count in counts:
        if count is not None:
            getattr(message, field).value = count
            getattr(message, enforcing).value = 100 if count else 0
    if ejection.interval:
        message.interval.CopyFrom(duration(ejection.interval))
    if ejection.base_ejection_time:
        message.base_ejection_time.CopyFrom(duration(ejection.base_ejection_time))
        message.max_ejection_time.CopyFrom(duration(max(ejection.base_ejection_time, _FIVE_MINUTES)))
    if ejection.max_ejection_percent is not None:
        message.max_ejection_percent.value = ejection.max_ejection_percent
        # Envoy otherwise always lets one instance be ejected, also where the percentage allows none.
        message.always_eject_one_host.CopyFrom(BoolValue(value=ejection.max_ejection_percent > 0))
    return message


def _http_options(cluster: Cluster) -> UpstreamOptions:
    options = UpstreamOptions()
    limits = cluster.policy.limits or ConnectionLimits()
    common = HttpProtocolOptions()
    if limits.idle_timeout:
        common.idle_timeout.CopyFrom(duration(limits.idle_timeout))
    if limits.max_requests_per_connection:
        common.max_requests_per_connection.value = limits.max_requests_per_connection
    options.common_http_protocol_options.CopyFrom(common)
    if _speaks(cluster) == "h2":
        options.explicit_http_config.http2_protocol_options.CopyFrom(
            Http2ProtocolOptions(allow_connect=True, max_concurrent_streams=UInt32Value(value=1073741824))
        )
    else:
        options.explicit_http_config.http_protocol_options.CopyFrom(Http1ProtocolOptions())
    return options
