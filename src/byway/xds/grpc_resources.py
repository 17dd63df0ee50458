"""What clients of the gRPC library ask for, as queries: by dial target a listener and its routes, by name what these lead to.

No Envoy ever holds these, so none is asked whether it would take them; that the library does, its tests ask the library.
"""

from __future__ import annotations

from google.protobuf.message import Message

from byway.derive import clusters as derived_clusters
from byway.derive.endpoints import workload
from byway.derive.grpc_client import reached_endpoints, transport
from byway.derive.routes import view, virtual_host
from byway.engine import Database, Root, query
from byway.model.listener import View
from byway.model.names import BLACK_HOLE, TYPE_CLUSTER, TYPE_ENDPOINTS, TYPE_LISTENER, TYPE_ROUTE
from byway.xds import grpc_client
from byway.xds.message import packed
from byway.xds.resource import Resource


class ClientResource(Resource, frozen=True):
    """A resource that is made for the gRPC library."""


def client_root(namespace: str, instance: str, type_url: str, name: str) -> Root | None:
    """The query that answers a client of the gRPC library."""
    if type_url == TYPE_LISTENER:
        return Root(client_listener, (namespace, instance, name))
    if type_url == TYPE_ROUTE:
        return Root(client_routes, (namespace, instance, name))
    if type_url == TYPE_CLUSTER:
        return Root(client_cluster, (namespace, name))
    if type_url == TYPE_ENDPOINTS:
        return Root(client_endpoints, (namespace, name))
    return None


@query
def client_listener(db: Database, namespace: str, instance: str, target: str) -> ClientResource | None:
    """The listener of the dial target, if the mesh knows such a host."""
    return _resource(target, grpc_client.listener(target)) if _routes(db, namespace, instance, target) else None


@query
def client_routes(db: Database, namespace: str, instance: str, target: str) -> ClientResource | None:
    """The routes of the dial target for this instance."""
    return _routes(db, namespace, instance, target)


@query
def client_cluster(db: Database, namespace: str, name: str) -> ClientResource | None:
    """A cluster as clients in `namespace` hold it."""
    if name == BLACK_HOLE:
        return _resource(name, grpc_client.nowhere(name))
    found = derived_clusters.cluster(db, namespace, name) if derived_clusters.ClusterName.parse(name) else None
    return _resource(name, grpc_client.cluster(found, transport(db, namespace, name))) if found else None


@query
def client_endpoints(db: Database, namespace: str, name: str) -> ClientResource | None:
    """The endpoints of a cluster, which has the same name."""
    if client_cluster(db, namespace, name) is None:
        return None
    return _resource(name, grpc_client.load_assignment(name, reached_endpoints(db, namespace, name)))


@query
def view_routes(db: Database, client: View, target: str) -> ClientResource | None:
    """The routes of the dial target for all clients with this view."""
    found = virtual_host(db, client, target)
    return _resource(target, grpc_client.route_configuration(target, found)) if found else None


def _routes(db: Database, namespace: str, instance: str, target: str) -> ClientResource | None:
    found = workload(db, namespace, instance)
    return view_routes(db, view(db, namespace, found.labels), target) if found else None


def _resource(name: str, message: Message) -> ClientResource:
    wrapped = packed(message)
    return ClientResource.of(wrapped.type_url, name, wrapped.SerializeToString(deterministic=True))
