"""Listeners, routes, clusters and endpoints as the gRPC library reads them; it is sent nothing that it would not.

What it knows of Envoy's messages: gRFC A27 (clusters), A28 (routes), A29 (mutual TLS), A31 (timeouts), A32 (circuit
breaking), A33 (faults), A44 (retries), https://github.com/grpc/proposal. What of a mesh's rules it does not know, is in
docs/grpc.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import re2
from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.config.core.v3.base_pb2 import Locality, TransportSocket
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EndpointMessage
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.api_listener_pb2 import ApiListener
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, RetryPolicy, RouteAction
from envoy.config.route.v3.route_components_pb2 import Route as RouteMessage
from envoy.config.route.v3.route_components_pb2 import VirtualHost as VirtualHostMessage
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateProviderPluginInstance,
    CertificateValidationContext,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import UInt32Value

from byway.model.destination import Cluster, Transport
from byway.model.grpc_client import MOST_ABSENT, RETRIED
from byway.model.names import GRPC_CERTIFICATES
from byway.model.route import MatchKind, Route, StringMatch, VirtualHost
from byway.model.workload import Endpoint
from byway.xds.clusters import ADS
from byway.xds.endpoints import address
from byway.xds.message import packed
from byway.xds.routes import FAULT_FILTER, virtual_host

_METHOD: Final = "POST"
_JUDGED: Final = (":method", ":authority")
_NOWHERE: Final = 503


def listener(name: str) -> Listener:
    """The listener of a dial target `xds:///name`: all that is said there is where its routes are."""
    manager = HttpConnectionManager(
        rds=Rds(config_source=ADS, route_config_name=name),
        http_filters=[
            HttpFilter(name=FAULT_FILTER, typed_config=packed(HTTPFault())),
            HttpFilter(name="envoy.filters.http.router", typed_config=packed(Router())),
        ],
    )
    return Listener(name=name, api_listener=ApiListener(api_listener=packed(manager)))


def route_configuration(name: str, host: VirtualHost) -> RouteConfiguration:
    """The routes of the dial target `name`; whatever authority the client gives itself, it means this one."""
    kept = (route for route in host.routes if _can_match(route, name))
    message = virtual_host(VirtualHost(host.name, ("*",), tuple(kept)))
    routes = [adapted for route in message.routes for adapted in _adapted(route)]
    return RouteConfiguration(
        name=name, virtual_hosts=[VirtualHostMessage(name=host.name, domains=["*"], routes=routes)]
    )


def cluster(found: Cluster, transport: Transport) -> ClusterMessage:
    """A destination; requests take turns among its instances."""
    message = nowhere(found.name)
    limits = found.policy.limits
    if limits is not None and limits.max_requests:
        threshold = CircuitBreakers.Thresholds(max_requests=UInt32Value(value=limits.max_requests))
        message.circuit_breakers.CopyFrom(CircuitBreakers(thresholds=[threshold]))
    if transport is Transport.MUTUAL:
        message.transport_socket.CopyFrom(_mutual_socket(found.identities))
    elif transport is Transport.SIMPLE:
        message.transport_socket.CopyFrom(_public_socket(found.policy.sni or found.service))
    return message


def nowhere(name: str) -> ClusterMessage:
    """A cluster of which nothing is known but its name."""
    return ClusterMessage(
        name=name,
        type=ClusterMessage.DiscoveryType.EDS,
        eds_cluster_config=ClusterMessage.EdsClusterConfig(eds_config=ADS),
        lb_policy=ClusterMessage.LbPolicy.ROUND_ROBIN,
    )


def load_assignment(name: str, endpoints: tuple[Endpoint, ...]) -> ClusterLoadAssignment:
    """All instances in one locality, which has to have a name and a weight to be called at all.

    Of several at one address and port the first is told: the library refuses all endpoints where one of them is there twice.
    """
    assignment = ClusterLoadAssignment(cluster_name=name)
    apart = {(_spelled(endpoint.address), endpoint.port): endpoint for endpoint in reversed(endpoints)}
    if endpoints:
        assignment.endpoints.append(
            LocalityLbEndpoints(
                locality=Locality(region="mesh"),
                load_balancing_weight=UInt32Value(value=1),
                lb_endpoints=[_lb_endpoint(endpoint) for endpoint in reversed(apart.values())],
            )
        )
    return assignment


def _spelled(written: str) -> str:
    """The address in the one spelling that all its spellings share; IPv4 has no other."""
    return str(ip_address(written)) if ":" in written else written


def _lb_endpoint(endpoint: Endpoint) -> LbEndpoint:
    return LbEndpoint(
        endpoint=EndpointMessage(address=address(endpoint.address, endpoint.port)),
        load_balancing_weight=UInt32Value(value=endpoint.weight),
    )


def _mutual_socket(identities: tuple[str, ...]) -> TransportSocket:
    """Mutual TLS with what the bootstrap names; with no identity known, nobody's certificate will do."""
    provider = CertificateProviderPluginInstance(instance_name=GRPC_CERTIFICATES)
    expected = identities or ("spiffe://invalid/no-identity-is-known",)
    validation = CertificateValidationContext(
        ca_certificate_provider_instance=provider,
        # The library reads this field and not the typed one that stands in its place for Envoy.
        match_subject_alt_names=[StringMatcher(exact=identity) for identity in expected],
    )
    common = CommonTlsContext(tls_certificate_provider_instance=provider, validation_context=validation)
    return _tls(UpstreamTlsContext(common_tls_context=common))


def _public_socket(host: str) -> TransportSocket:
    validation = CertificateValidationContext(
        system_root_certs=CertificateValidationContext.SystemRootCerts(),
        match_subject_alt_names=[StringMatcher(exact=host)],
    )
    context = UpstreamTlsContext(common_tls_context=CommonTlsContext(validation_context=validation), sni=host)
    return _tls(context)


def _tls(context: UpstreamTlsContext) -> TransportSocket:
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _can_match(route: Route, target: str) -> bool:
    """Whether a call may come this way: it is a POST without a query to the dial target, and the library judges none of these."""
    asked, known = (route.match.method, route.match.authority), (_METHOD, target)
    is_met = all(match is None or _matches(match, value) for match, value in zip(asked, known, strict=True))
    return is_met and not route.match.query_parameters


def _matches(match: StringMatch, value: str) -> bool:
    expected, found = (match.value.lower(), value.lower()) if match.ignore_case else (match.value, value)
    if match.kind is MatchKind.REGEX:
        return re2.fullmatch(match.value, value) is not None
    return found.startswith(expected) if match.kind is MatchKind.PREFIX else found == expected


def _adapted(route: RouteMessage) -> Iterator[RouteMessage]:
    """The route with what the library knows of it; as several ones where it must be told what a missing header means."""
    message = RouteMessage(name=route.name, match=route.match)
    if FAULT_FILTER in route.typed_per_filter_config:
        message.typed_per_filter_config[FAULT_FILTER].CopyFrom(route.typed_per_filter_config[FAULT_FILTER])
    if route.route.cluster or route.route.weighted_clusters.clusters:
        message.route.CopyFrom(_action(route.route))
    else:
        message.direct_response.status = _NOWHERE  # the library fails such calls
    lenient = [header for header in route.match.headers if header.treat_missing_header_as_empty]
    if len(lenient) > MOST_ABSENT:
        lenient = []
    strict = [h for h in route.match.headers if h not in lenient and h.name not in _JUDGED]
    for combination in itertools.product(*(_either(header) for header in lenient)):
        del message.match.headers[:]
        message.match.headers.extend((*strict, *combination))
        one = RouteMessage()
        one.CopyFrom(message)
        yield one


def _either(header: HeaderMatcher) -> tuple[HeaderMatcher, HeaderMatcher]:
    """Conditions of which one holds where `header` does: the library lets none hold for a header that is not there."""
    present = HeaderMatcher()
    present.CopyFrom(header)
    present.ClearField("treat_missing_header_as_empty")
    return present, HeaderMatcher(name=header.name, present_match=True, invert_match=True)


def _action(action: RouteAction) -> RouteAction:
    message = RouteAction()
    if action.cluster:
        message.cluster = action.cluster
    for share in action.weighted_clusters.clusters:
        message.weighted_clusters.clusters.add(name=share.name, weight=share.weight)
    if action.timeout.ToNanoseconds():
        message.max_stream_duration.max_stream_duration.CopyFrom(action.timeout)
    retry = action.retry_policy
    conditions = [word for word in retry.retry_on.split(",") if word in RETRIED]
    if conditions:
        policy = RetryPolicy(retry_on=",".join(conditions), num_retries=retry.num_retries)
        if retry.HasField("retry_back_off"):
            policy.retry_back_off.CopyFrom(retry.retry_back_off)
        message.retry_policy.CopyFrom(policy)
    return message
