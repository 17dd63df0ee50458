"""Listeners of a sidecar and of a gateway.

Outbound there is one listener whatever the size of the mesh: HTTP goes through virtual hosts on demand, all else to the
service's address through clusters on demand, and what is outside the mesh's addresses never enters either.
Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener.proto
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy, UpstreamConnectMode
from envoy.type.v3.range_pb2 import Int32Range
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from byway.model.listener import GatewayListener, Inbound, InboundPort, Outbound
from byway.model.mesh import MeshDefaults
from byway.model.names import BLACK_HOLE, PORT_INBOUND, PORT_OUTBOUND, RESERVED_PORTS, VIP_NETWORK
from byway.model.policy import Access, MutualTls
from byway.model.report import Peer
from byway.model.workload import Interception, Workload
from byway.xds.authorization import rule_sets
from byway.xds.clusters import ADS
from byway.xds.endpoints import address, peer_of
from byway.xds.http import gateway_manager, inbound_manager, outbound_manager
from byway.xds.message import packed, seconds
from byway.xds.telemetry import Reporter, tcp_access_log_options, tcp_access_logs
from byway.xds.tls import MESH_ALPN, inbound_socket

PASS_THROUGH = "PassthroughCluster"
INBOUND_PASS_THROUGH = "InboundPassthroughCluster"
_EARLY_DATA_BYTES = 65536
_HTTP_PROTOCOLS = ("http/1.0", "http/1.1", "h2c")


def inbound_cluster_name(port: InboundPort) -> str:
    """Istio's name for the cluster that is the application itself."""
    return f"inbound|{port.number}||"


def inbound_routes_name(workload: Workload, port: InboundPort) -> str:
    """The name of the route configuration that leads to the application."""
    return f"inbound/{workload.namespace}/{workload.instance}/{port.name}"


def outbound_listener(name: str, side: Outbound) -> Listener:
    """What the workload calls."""
    mesh = side.mesh
    peer = peer_of(side.workload, mesh.trust_domain)
    http = Filter(name="http", typed_config=packed(outbound_manager(peer, mesh)))
    if side.workload.interception is Interception.EXPLICIT:
        listener = _listener(name, "127.0.0.1", side.workload.outbound_port, [FilterChain(filters=[http])])
        listener.traffic_direction = TrafficDirection.OUTBOUND
        return listener
    in_mesh = [_cidr(VIP_NETWORK)]
    chains = [
        *_reserved_chains(),
        FilterChain(
            name="http",
            filter_chain_match=FilterChainMatch(prefix_ranges=in_mesh, application_protocols=_HTTP_PROTOCOLS),
            filters=[http],
        ),
        FilterChain(
            name="tcp", filter_chain_match=FilterChainMatch(prefix_ranges=in_mesh), filters=_on_demand_tcp(peer, mesh)
        ),
    ]
    listener = _listener(name, "0.0.0.0", PORT_OUTBOUND, chains)  # noqa: S104 - intercepted: the port is never reached from outside
    unknown = PASS_THROUGH if mesh.allows_unknown_destinations else BLACK_HOLE
    logs = tcp_access_logs(Reporter(reporter="source", peer=peer, access_log_path=mesh.access_log))
    listener.default_filter_chain.CopyFrom(FilterChain(name="unknown", filters=[_tcp_filter("outside", unknown, logs)]))
    listener.traffic_direction = TrafficDirection.OUTBOUND
    _sniff(listener, _either(side.tcp_ports), with_http=True)
    return listener


def inbound_listeners(prefix: str, side: Inbound) -> tuple[Listener, ...]:
    """What calls the workload: one listener for all ports, or, in explicit mode, one for each."""
    if side.workload.interception is Interception.EXPLICIT:
        listeners = (
            _listener(
                f"{prefix}/{port.name}", side.workload.address, port.number, _port_chains(port, side, with_match=False)
            )
            for port in side.ports
        )
        return tuple(_inbound(listener) for listener in listeners)
    chains = [chain for port in side.ports for chain in _port_chains(port, side, with_match=True)]
    listener = _listener(prefix, "0.0.0.0", PORT_INBOUND, [*chains, *_reserved_chains(), *_other_chains(side)])  # noqa: S104 - mutual TLS at the door
    return (_inbound(listener, with_original=True),)


def gateway_listener(name: str, gateway: GatewayListener) -> Listener:
    """A port of a gateway, on the gateway's own address."""
    peer = peer_of(gateway.workload, gateway.mesh.trust_domain)
    http = Filter(name="http", typed_config=packed(gateway_manager(gateway.port, peer, gateway.mesh)))
    listener = _listener(name, gateway.workload.address, gateway.port, [FilterChain(filters=[http])])
    listener.traffic_direction = TrafficDirection.OUTBOUND
    return listener


def _inbound(listener: Listener, *, with_original: bool = False) -> Listener:
    listener.traffic_direction = TrafficDirection.INBOUND
    if with_original:
        _sniff(listener, None, with_http=False)
    else:
        listener.listener_filters.append(_listener_filter("tls_inspector", TlsInspector()))
    return listener


def _port_chains(port: InboundPort, side: Inbound, *, with_match: bool) -> list[FilterChain]:
    chains = [_port_chain(port, side, _mutual_match(port.mutual_tls, is_http=port.protocol.is_http), is_mutual=True)]
    if port.mutual_tls is not MutualTls.STRICT:
        chains.append(_port_chain(port, side, FilterChainMatch(), is_mutual=False))
    for chain in chains:
        if with_match:
            chain.filter_chain_match.destination_port.CopyFrom(UInt32Value(value=port.number))
    return chains


def _mutual_match(mode: MutualTls, *, is_http: bool = False) -> FilterChainMatch:
    """What is taken for mutual TLS: all TLS where nothing else will do, else what sidecars offer besides.

    TLS of an application's own cannot be read as HTTP anyway, so on such a port all TLS is the mesh's: a gRPC client without a
    sidecar offers but `h2`. Also where mutual TLS is switched off, which is for callers to know: one that has not heard of it
    yet is let in.
    """
    alpn = () if is_http or mode is MutualTls.STRICT else MESH_ALPN
    return FilterChainMatch(transport_protocol="tls", application_protocols=alpn)


def _port_chain(port: InboundPort, side: Inbound, match: FilterChainMatch, *, is_mutual: bool) -> FilterChain:
    mesh = side.mesh
    peer = peer_of(side.workload, mesh.trust_domain)
    cluster = inbound_cluster_name(port)
    chain = FilterChain(name=f"{port.name}-{'mutual' if is_mutual else 'plain'}", filter_chain_match=match)
    if port.protocol.is_http:
        manager = inbound_manager(port, inbound_routes_name(side.workload, port), peer, mesh, is_mutual=is_mutual)
        chain.filters.append(Filter(name="http", typed_config=packed(manager)))
    else:
        logs = _inbound_logs(peer, mesh, is_mutual=is_mutual)
        chain.filters.extend(_judged_tcp(port.access, f"inbound_{port.number}", cluster, logs))
    if is_mutual:
        chain.transport_socket.CopyFrom(inbound_socket(mesh.trust_domain, is_http=port.protocol.is_http))
    return chain


@cache
def _reserved_chains() -> tuple[FilterChain, ...]:
    """Connections that name one of the sidecar's own ports end here, in plain text or not: passed on, they would come back."""
    return tuple(
        FilterChain(
            name=f"reserved-{port}",
            filter_chain_match=FilterChainMatch(destination_port=UInt32Value(value=port)),
            filters=[_tcp_filter("reserved", BLACK_HOLE, [])],
        )
        for port in RESERVED_PORTS
    )


def _other_chains(side: Inbound) -> list[FilterChain]:
    mesh = side.mesh
    peer = peer_of(side.workload, mesh.trust_domain)
    chains = []
    for is_mutual in (True, False):
        if not is_mutual and side.other_mutual_tls is MutualTls.STRICT:
            continue
        match = _mutual_match(side.other_mutual_tls) if is_mutual else FilterChainMatch()
        chain = FilterChain(name=f"other-{'mutual' if is_mutual else 'plain'}", filter_chain_match=match)
        logs = _inbound_logs(peer, mesh, is_mutual=is_mutual)
        chain.filters.extend(_judged_tcp(side.other_access, "inbound_other", INBOUND_PASS_THROUGH, logs))
        if is_mutual:
            chain.transport_socket.CopyFrom(inbound_socket(mesh.trust_domain, is_http=False))
        chains.append(chain)
    return chains


def _inbound_logs(peer: Peer, mesh: MeshDefaults, *, is_mutual: bool) -> list[AccessLog]:
    reporter = Reporter(
        reporter="destination",
        peer=peer,
        security="mutual_tls" if is_mutual else "none",
        access_log_path=mesh.access_log,
    )
    return tcp_access_logs(reporter)


def _judged_tcp(access: Access, prefix: str, cluster: str, logs: list[AccessLog]) -> Iterable[Filter]:
    """A connection to the application, once the access rules have let it in.

    Envoy judges a connection at the client's first byte. Until then the application must not be called: a server that
    speaks first would give itself away to somebody who may not call it.
    """
    proxy = _tcp_proxy(prefix, cluster, logs)
    for rules in filter(None, rule_sets(access)):
        config = RBAC(rules=rules, stat_prefix="policy_tcp")
        yield Filter(name="envoy.filters.network.rbac", typed_config=packed(config))
        proxy.upstream_connect_mode = UpstreamConnectMode.ON_DOWNSTREAM_DATA
        proxy.max_early_data_bytes.CopyFrom(UInt32Value(value=_EARLY_DATA_BYTES))
    yield Filter(name="tcp", typed_config=packed(proxy))


def _on_demand_tcp(peer: Peer, mesh: MeshDefaults) -> list[Filter]:
    value = FilterStateValue(object_key="envoy.tcp_proxy.cluster")
    value.format_string.text_format_source.inline_string = "tcp|%DOWNSTREAM_LOCAL_ADDRESS%"
    name_cluster = Filter(
        name="envoy.filters.network.set_filter_state", typed_config=packed(SetFilterState(on_new_connection=[value]))
    )
    logs = tcp_access_logs(Reporter(reporter="source", peer=peer, access_log_path=mesh.access_log))
    proxy = _tcp_proxy("outbound_tcp", BLACK_HOLE, logs)
    proxy.on_demand.CopyFrom(TcpProxy.OnDemand(odcds_config=ADS, timeout=seconds(5)))
    return [name_cluster, Filter(name="tcp", typed_config=packed(proxy))]


def _tcp_filter(prefix: str, cluster: str, logs: list[AccessLog]) -> Filter:
    return Filter(name="tcp", typed_config=packed(_tcp_proxy(prefix, cluster, logs)))


def _tcp_proxy(prefix: str, cluster: str, logs: list[AccessLog]) -> TcpProxy:
    return TcpProxy(stat_prefix=prefix, cluster=cluster, access_log=logs, access_log_options=tcp_access_log_options())


def _listener(name: str, host: str, port: int, chains: list[FilterChain]) -> Listener:
    return Listener(
        name=name,
        address=address(host, port),
        filter_chains=chains,
        per_connection_buffer_limit_bytes=UInt32Value(value=32768 * 4),
        enable_reuse_port=BoolValue(value=False),
    )


def _sniff(listener: Listener, except_ports: ListenerFilterChainMatchPredicate | None, *, with_http: bool) -> None:
    listener.listener_filters.append(_listener_filter("original_dst", OriginalDst()))
    inspectors = [_listener_filter("tls_inspector", TlsInspector())]
    if with_http:
        inspectors.append(_listener_filter("http_inspector", HttpInspector()))
    for inspector in inspectors:
        if except_ports is not None:
            inspector.filter_disabled.CopyFrom(except_ports)
        listener.listener_filters.append(inspector)
    # A server that speaks first on an undeclared port keeps its client waiting this long.
    listener.listener_filters_timeout.CopyFrom(seconds(1))
    listener.continue_on_listener_filters_timeout = True


def _listener_filter(name: str, config: Message) -> ListenerFilter:
    return ListenerFilter(name=f"envoy.filters.listener.{name}", typed_config=packed(config))


def _either(ports: tuple[int, ...]) -> ListenerFilterChainMatchPredicate | None:
    rules = [
        ListenerFilterChainMatchPredicate(destination_port_range=Int32Range(start=port, end=port + 1)) for port in ports
    ]
    if len(rules) < 2:
        return rules[0] if rules else None
    return ListenerFilterChainMatchPredicate(or_match=ListenerFilterChainMatchPredicate.MatchSet(rules=rules))


def _cidr(network: str) -> CidrRange:
    prefix, _, length = network.partition("/")
    return CidrRange(address_prefix=prefix, prefix_len=UInt32Value(value=int(length)))
