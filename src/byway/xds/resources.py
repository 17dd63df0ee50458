"""Every resource as a query: what is asked for by name, derived and serialized once for all proxies with the same view."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any

from byway.derive import clusters as derived_clusters
from byway.derive import endpoints as derived_endpoints
from byway.derive import listeners as derived_listeners
from byway.derive.clusters import ClusterName
from byway.derive.egress import egress, may_call
from byway.derive.endpoints import workload
from byway.derive.gateways import gateway_hosts, gateway_ports
from byway.derive.lowered import mesh_defaults
from byway.derive.routes import PLACEHOLDER, view, virtual_host
from byway.derive.services import service_at
from byway.engine import Database, query
from byway.model.egress import HostPattern
from byway.model.listener import View
from byway.model.names import BLACK_HOLE, INBOUND_SOURCE, ON_DEMAND_CLUSTER
from byway.model.policy import Access, MutualTls
from byway.model.route import VirtualHost
from byway.xds import clusters, endpoints, listeners, routes
from byway.xds.listeners import (
    INBOUND_PASS_THROUGH,
    PASS_THROUGH,
    inbound_cluster_name,
    inbound_routes_name,
)
from byway.xds.message import resource
from byway.xds.resource import Resource


@query
def listener_resource(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    """A listener of this instance's proxy, by its name."""
    side, _, _ = name.partition("/")
    if side == "outbound":
        out = derived_listeners.outbound(db, namespace, instance)
        return resource(name, listeners.outbound_listener(name, out)) if out else None
    if side == "inbound":
        inward = derived_listeners.accepting(db, namespace, instance)
        found = listeners.inbound_listeners(f"inbound/{namespace}/{instance}", inward) if inward else ()
        return next((resource(name, listener) for listener in found if listener.name == name), None)
    port = name.rpartition("/")[2]
    opened = derived_listeners.gateway_listener(db, namespace, instance, int(port)) if port.isdigit() else None
    return resource(name, listeners.gateway_listener(name, opened)) if opened else None


@query
def standing_clusters(db: Database, namespace: str, instance: str) -> tuple[str, ...]:
    """The clusters that this instance's proxy always holds: none of them is another service."""
    inward = derived_listeners.accepting(db, namespace, instance)
    if inward is None:
        return (BLACK_HOLE,)
    own = (inbound_cluster_name(port) for port in inward.ports)
    return (BLACK_HOLE, PASS_THROUGH, INBOUND_PASS_THROUGH, *own)


@query
def instance_cluster_resource(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    """A cluster that only this instance's proxy has: its own application, or a way out."""
    if name == BLACK_HOLE:
        return resource(name, clusters.refusing_cluster(name))
    if name == PASS_THROUGH:
        return resource(name, clusters.original_destination_cluster(name))
    if name == INBOUND_PASS_THROUGH:
        return resource(name, clusters.original_destination_cluster(name, INBOUND_SOURCE))
    inward = derived_listeners.accepting(db, namespace, instance)
    found = (port for port in (inward.ports if inward else ()) if inbound_cluster_name(port) == name)
    return next((resource(name, clusters.inbound_cluster(name, port)) for port in found), None)


@query
def cluster_resource(db: Database, namespace: str, name: str) -> Resource | None:
    """A cluster as clients in `namespace` hold it; asked for by address, an unknown one refuses every connection."""
    found = derived_clusters.cluster(db, namespace, name)
    if found is not None:
        return resource(name, clusters.outbound_cluster(found))
    return resource(name, clusters.refusing_cluster(name)) if name.startswith("tcp|") else None


@query
def called_cluster(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    """The cluster that this instance's proxy gets for an address that is called (`tcp|…`): one that refuses where it may not."""
    found = workload(db, namespace, instance)
    hosts = egress(db, namespace, found.labels if found else ())
    is_allowed = hosts is None or _may_call_address(db, hosts, name)
    return cluster_resource(db, namespace, name) if is_allowed else resource(name, clusters.refusing_cluster(name))


@query
def called_endpoints(db: Database, namespace: str, hosts: tuple[HostPattern, ...], name: str) -> Resource | None:
    """The endpoints of `called_cluster` for clients that may call `hosts`; all others share `endpoints_resource`."""
    return endpoints_resource(db, namespace, name) if _may_call_address(db, hosts, name) else None


def _may_call_address(db: Database, hosts: tuple[HostPattern, ...], name: str) -> bool:
    called = service_at(db, name.removeprefix(ON_DEMAND_CLUSTER).rpartition(":")[0])
    return called is None or may_call(db, hosts, called.host)


@query
def endpoints_resource(db: Database, namespace: str, name: str) -> Resource | None:
    """The endpoints of a cluster, which has the same name."""
    parts = ClusterName.parse(name)
    if parts is None:
        vip, _, port = name.removeprefix("tcp|").rpartition(":")
        called = service_at(db, vip) if name.startswith("tcp|") else None
        if called is None or not port.isdigit() or called.port(int(port)) is None:
            return None
        parts = ClusterName(int(port), "", called.host)
    if derived_clusters.cluster(db, namespace, name) is None:
        return None
    chosen = derived_clusters.subset(db, namespace, parts.host, parts.subset) if parts.subset else None
    if parts.subset and chosen is None:
        return resource(name, endpoints.load_assignment(name, ()))
    found = derived_endpoints.endpoints(db, parts.host, parts.port, chosen.labels if chosen else ())
    return resource(name, endpoints.load_assignment(name, found))


@query
def virtual_host_resource(db: Database, client: View, name: str) -> Resource | None:
    """The virtual host that a client with this view asks for as `out/<Host header>`."""
    authority = name.removeprefix("out/")
    if authority == PLACEHOLDER:
        return resource(name, routes.virtual_host(VirtualHost(name, ("placeholder.invalid",), ())))
    found = virtual_host(db, client, authority)
    return resource(found.name, routes.virtual_host(found), routes.required_clusters(found)) if found else None


@query
def route_resource(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    """A route configuration of this instance's proxy: `out`, `gateway/<port>`, or `inbound/…` to its own application."""
    if name.startswith("inbound/"):
        return _inbound_routes(db, namespace, instance, name)
    found = workload(db, namespace, instance)
    if name == routes.ON_DEMAND_ROUTES and found is not None:
        peer = endpoints.peer_of(found, mesh_defaults(db).trust_domain)
        return resource(name, routes.on_demand_configuration(peer))
    port = name.removeprefix("gateway/")
    if found is None or not port.isdigit() or int(port) not in gateway_ports(db, namespace, instance):
        return None
    hosts = gateway_hosts(db, namespace, instance, int(port))
    peer = endpoints.peer_of(found, mesh_defaults(db).trust_domain)
    return resource(name, routes.route_configuration(name, hosts, peer), routes.required_clusters(*hosts))


@query
def inbound_route_names(db: Database, namespace: str, instance: str) -> tuple[str, ...]:
    """The names of the route configurations to this instance's own application."""
    inward = derived_listeners.accepting(db, namespace, instance)
    return tuple(inbound_routes_name(inward.workload, port) for port in inward.ports) if inward else ()


def _inbound_routes(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    inward = derived_listeners.inbound(db, namespace, instance)
    for port in inward.ports if inward else ():
        if inward is not None and inbound_routes_name(inward.workload, port) == name:
            cluster = inbound_cluster_name(port)
            rules = inbound_rules(db, port.access, port.mutual_tls is MutualTls.STRICT)
            return resource(name, routes.inbound_configuration(name, cluster, rules), (cluster,))
    return None


@query
def inbound_rules(db: Database, access: Access, needs_mutual_tls: bool) -> dict[str, Any]:
    """Access rules as routes carry them: built once for all instances that have the same."""
    del db  # everything is in the key
    return routes.packed_rules(access, needs_mutual_tls=needs_mutual_tls)


@query
def virtual_host_for(db: Database, namespace: str, instance: str, name: str) -> Resource | None:
    """The virtual host for this instance's proxy: a thin step, so that a change of its labels or view is noticed."""
    found = workload(db, namespace, instance)
    return virtual_host_resource(db, view(db, namespace, found.labels if found else ()), name)


@query
def outline(db: Database, namespace: str, instance: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the listeners and of the standing clusters of this instance's proxy."""
    listeners_held = derived_listeners.listener_names(db, namespace, instance)
    return listeners_held, standing_clusters(db, namespace, instance) if listeners_held else ()
