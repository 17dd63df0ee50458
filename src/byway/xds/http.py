"""HTTP connection managers: one for what a workload calls, one for what calls it, one for a gateway.

Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto
"""

from __future__ import annotations

from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.on_demand.v3.on_demand_pb2 import OnDemand
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from byway.model.listener import InboundPort
from byway.model.mesh import MeshDefaults
from byway.model.report import Peer, service_text
from byway.xds.authorization import ALLOW_FILTER, DENY_FILTER, PLAIN_FILTER
from byway.xds.clusters import ADS
from byway.xds.message import packed, seconds
from byway.xds.routes import FAULT_FILTER, ON_DEMAND_ROUTES
from byway.xds.telemetry import Reporter, http_access_logs, source_filters, tracing

_Manager = HttpConnectionManager
_ROUTER = "envoy.filters.http.router"


def outbound_manager(peer: Peer, mesh: MeshDefaults) -> HttpConnectionManager:
    """What the workload calls: virtual hosts on demand, faults, retries.

    `on_demand` stands first: the filters after it then see the route that the request really gets.
    """
    manager = _manager("outbound", Reporter(reporter="source", peer=peer, access_log_path=mesh.access_log), mesh)
    # By name: a listener that is replaced takes the virtual hosts over that the proxy already holds.
    manager.rds.CopyFrom(Rds(config_source=ADS, route_config_name=ON_DEMAND_ROUTES))
    manager.http_filters.extend((_filter("envoy.filters.http.on_demand", OnDemand()), _fault(), _router()))
    return manager


def gateway_manager(port: int, peer: Peer, mesh: MeshDefaults) -> HttpConnectionManager:
    """What strangers call through a gateway; their forwarding headers are not believed."""
    manager = _manager(f"gateway_{port}", Reporter(reporter="source", peer=peer, access_log_path=mesh.access_log), mesh)
    manager.use_remote_address.CopyFrom(BoolValue(value=True))
    manager.normalize_path.CopyFrom(BoolValue(value=True))
    manager.rds.CopyFrom(Rds(config_source=ADS, route_config_name=f"gateway/{port}"))
    manager.http_filters.extend((_fault(), _router()))
    return manager


def inbound_manager(
    port: InboundPort, routes: str, peer: Peer, mesh: MeshDefaults, *, is_mutual: bool
) -> HttpConnectionManager:
    """What calls the workload: access rules on the caller's certificate, then the application.

    The rules come with the route configuration `routes`, so that a change holds for the next request on every open
    connection, while a new listener would let old connections live on under old rules. Without it nobody gets in. No
    filter after the access rules changes what they judged: not the path, the host or the route.
    """
    reporter = Reporter(
        reporter="destination",
        peer=peer,
        security="mutual_tls" if is_mutual else "none",
        service=service_text(port.service, port.service_name, port.namespace),
        access_log_path=mesh.access_log,
    )
    manager = _manager(f"inbound_{port.number}", reporter, mesh)
    manager.normalize_path.CopyFrom(BoolValue(value=True))
    manager.forward_client_cert_details = _Manager.ForwardClientCertDetails.SANITIZE_SET
    manager.set_current_client_cert_details.CopyFrom(_Manager.SetCurrentClientCertDetails(uri=True))
    manager.rds.CopyFrom(Rds(config_source=ADS, route_config_name=routes))
    nobody = RBAC(rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.Action.ALLOW))
    manager.http_filters.extend(
        (
            *source_filters(is_trusted=is_mutual),
            *(() if is_mutual else (_filter(PLAIN_FILTER, nobody),)),
            _filter(DENY_FILTER, RBAC()),
            _filter(ALLOW_FILTER, nobody),
            _router(),
        )
    )
    return manager


def _manager(prefix: str, reporter: Reporter, mesh: MeshDefaults) -> HttpConnectionManager:
    manager = HttpConnectionManager(
        stat_prefix=prefix,
        codec_type=_Manager.CodecType.AUTO,
        access_log=http_access_logs(reporter),
        http_protocol_options=Http1ProtocolOptions(accept_http_10=True),
        http2_protocol_options=Http2ProtocolOptions(allow_connect=True),
        # The mesh is transparent: it neither names itself as the server nor ends streams that are merely quiet.
        server_header_transformation=_Manager.ServerHeaderTransformation.PASS_THROUGH,
        stream_idle_timeout=seconds(0),
        upgrade_configs=[_Manager.UpgradeConfig(upgrade_type="websocket")],
        preserve_external_request_id=True,
        strip_trailing_host_dot=True,
    )
    if mesh.is_tracing and mesh.sampling:
        manager.tracing.CopyFrom(tracing(reporter.peer, mesh.sampling))
    return manager


def _filter(name: str, config: Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=packed(config))


def _fault() -> HttpFilter:
    """Stands in the way of those requests only whose route has a fault."""
    return HttpFilter(name=FAULT_FILTER, typed_config=packed(HTTPFault()), disabled=True)


def _router() -> HttpFilter:
    """Counts nothing by response code: nobody reads it, the mesh's own metrics say it by peer."""
    return _filter(_ROUTER, Router(suppress_envoy_headers=True, dynamic_stats=BoolValue(value=False)))
