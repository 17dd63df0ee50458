"""What is proved for a change: every structural resource that it touches, in a form that the prover can hold.

A resource that nobody holds yet is derived all the same, for the views that its author can have meant: a mistake is told
to its author, not to the first caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import BoolValue

from byway.derive.clusters import ClusterName
from byway.derive.lowered import (
    destination_policy_of,
    route_rules_of,
    selector_of,
    service_of,
    workload_of,
)
from byway.derive.services import service
from byway.engine import Database, Root
from byway.kinds.resource import ResourceId
from byway.model.labels import selects
from byway.model.listener import View
from byway.model.names import TYPE_ENDPOINTS, TYPE_LISTENER
from byway.model.service import Service
from byway.world.index import ids_of_kind, labelled
from byway.xds import resources
from byway.xds.grpc_resources import ClientResource
from byway.xds.message import packed
from byway.xds.resource import Resource


def provable(resource: Resource) -> Resource | None:
    """The resource as the prover may hold it: listeners bind no port; endpoints need no proof, nor does what no Envoy gets."""
    if resource.type_url == TYPE_ENDPOINTS or isinstance(resource, ClientResource):
        return None
    if resource.type_url != TYPE_LISTENER:
        return resource
    listener = Listener()
    AnyMessage.FromString(resource.any_bytes).Unpack(listener)
    listener.bind_to_port.CopyFrom(BoolValue(value=False))
    any_bytes = packed(listener).SerializeToString(deterministic=True)
    return Resource.of(resource.type_url, resource.name, any_bytes)


def probes(db: Database, ids: Iterable[ResourceId]) -> Iterator[Root]:
    """Resources that the objects `ids` shape, whether or not any proxy holds them."""
    for resource_id in sorted(ids):
        if resource_id.kind == "VirtualService":
            yield from _routes(db, resource_id)
        elif resource_id.kind == "DestinationRule":
            yield from _clusters(db, resource_id)
        elif resource_id.kind == "Service":
            found = service_of(db, resource_id)
            yield from (_clusters_of(resource_id.namespace, found, ("",)) if found else ())
        elif resource_id.kind in ("AuthorizationPolicy", "PeerAuthentication"):
            yield from _listeners(db, resource_id)
        elif resource_id.kind == "Gateway":
            yield from _gateway(db, resource_id)
        elif resource_id.kind == "MeshConfig":
            yield from _everywhere(db)


def _routes(db: Database, resource_id: ResourceId) -> Iterator[Root]:
    rules = route_rules_of(db, resource_id)
    if rules is None:
        return
    labels = {match.source_labels for rule in rules.rules for match in rule.matches} | {()}
    for host in rules.hosts:
        found = service(db, host)
        name = host.replace("*", "any", 1)
        for port in [p.number for p in found.ports] if found else [80]:
            for pairs in sorted(labels):
                client = View(resource_id.namespace, pairs)
                yield Root(resources.virtual_host_resource, (client, f"out/{name}:{port}"))
    for gateway in rules.gateways:
        yield from _gateway_routes(db, gateway)


def _gateway_routes(db: Database, gateway: str) -> Iterator[Root]:
    namespace, _, name = gateway.partition("/")
    selector = selector_of(db, ResourceId("Gateway", namespace, name)) if name else ()
    for instance in _instances(db, "", selector) if selector else ():
        for listener in resources.outline(db, instance.namespace, instance.name)[0]:
            port = listener.rpartition("/")[2]
            yield Root(resources.route_resource, (instance.namespace, instance.name, f"gateway/{port}"))


def _gateway(db: Database, resource_id: ResourceId) -> Iterator[Root]:
    """What the first instance of a gateway opens, and where it leads: all its instances do the same."""
    for instance in _instances(db, "", selector_of(db, resource_id)):
        for name in resources.outline(db, instance.namespace, instance.name)[0]:
            yield Root(resources.listener_resource, (instance.namespace, instance.name, name))
            port = name.rpartition("/")[2]
            yield Root(resources.route_resource, (instance.namespace, instance.name, f"gateway/{port}"))
        return


def _everywhere(db: Database) -> Iterator[Root]:
    """One of each kind of resource that the whole mesh's settings shape: they say the same of all."""
    for found in (service_of(db, i) for i in ids_of_kind(db, "Service")):
        if found is not None and found.ports:
            port = found.ports[0].number
            yield Root(resources.virtual_host_resource, (View(found.namespace, ()), f"out/{found.host}:{port}"))
            yield from _clusters_of(found.namespace, found, ("",))
            break
    for instance in ids_of_kind(db, "WorkloadEntry"):
        for name in resources.outline(db, instance.namespace, instance.name)[0]:
            yield Root(resources.listener_resource, (instance.namespace, instance.name, name))
        break


def _clusters(db: Database, resource_id: ResourceId) -> Iterator[Root]:
    policy = destination_policy_of(db, resource_id)
    if policy is None:
        return
    found = service(db, policy.host)
    if found is None and policy.host.startswith("*"):
        services = (service_of(db, i) for i in ids_of_kind(db, "Service"))
        found = next((s for s in services if s is not None and s.host.endswith(policy.host[1:])), None)
    if found is not None:
        yield from _clusters_of(resource_id.namespace, found, ("", *(s.name for s in policy.subsets)))


def _clusters_of(namespace: str, found: Service, subsets: tuple[str, ...]) -> Iterator[Root]:
    for port in found.ports:
        for name in subsets:
            yield Root(resources.cluster_resource, (namespace, str(ClusterName(port.number, name, found.host))))


def _listeners(db: Database, resource_id: ResourceId) -> Iterator[Root]:
    for instance in _instances(db, resource_id.namespace, selector_of(db, resource_id)):
        for name in resources.outline(db, instance.namespace, instance.name)[0]:
            if name.startswith("inbound/"):
                yield Root(resources.listener_resource, (instance.namespace, instance.name, name))
        for name in resources.inbound_route_names(db, instance.namespace, instance.name):
            yield Root(resources.route_resource, (instance.namespace, instance.name, name))
        return


def _instances(db: Database, namespace: str, selector: tuple[tuple[str, str], ...]) -> Iterator[ResourceId]:
    for resource_id in labelled(db, selector, namespace):
        found = workload_of(db, resource_id)
        if found is not None and selects(selector, found.labels):
            yield resource_id
