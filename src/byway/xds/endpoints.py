"""Endpoints → ClusterLoadAssignment."""

from __future__ import annotations

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EndpointMessage
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from byway.model.report import Peer
from byway.model.workload import Endpoint, Workload
from byway.xds.telemetry import endpoint_metadata

TRANSPORT_MATCH = "envoy.transport_socket_match"


def load_assignment(name: str, endpoints: tuple[Endpoint, ...]) -> ClusterLoadAssignment:
    """All instances in one locality; each says whether it has a sidecar and what telemetry calls it."""
    assignment = ClusterLoadAssignment(cluster_name=name)
    if endpoints:
        assignment.endpoints.append(LocalityLbEndpoints(lb_endpoints=[_lb_endpoint(e) for e in endpoints]))
    return assignment


def address(host: str, port: int) -> Address:
    """A TCP socket address."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def peer_of(workload: Workload, trust_domain: str) -> Peer:
    """A workload as telemetry names it."""
    return Peer(
        workload=workload.name,
        namespace=workload.namespace,
        app=workload.app,
        version=workload.version,
        principal=f"spiffe://{trust_domain}/ns/{workload.namespace}/sa/{workload.service_account}",
    )


def _lb_endpoint(endpoint: Endpoint) -> LbEndpoint:
    peer = Peer(workload=endpoint.workload, namespace=endpoint.namespace, app=endpoint.app, version=endpoint.version)
    metadata = endpoint_metadata(peer)
    if endpoint.takes_mutual_tls:
        metadata.filter_metadata[TRANSPORT_MATCH].update({"tlsMode": "istio"})
    return LbEndpoint(
        endpoint=EndpointMessage(address=address(endpoint.address, endpoint.port)),
        metadata=metadata,
        load_balancing_weight=UInt32Value(value=endpoint.weight),
    )
