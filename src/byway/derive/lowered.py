"""Each resource in the model's words: the only queries that read what operators wrote."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.engine import Database, query
from byway.kinds.istio.authorization_policy import AuthorizationPolicy
from byway.kinds.istio.gateway import Gateway
from byway.kinds.istio.peer_authentication import PeerAuthentication
from byway.kinds.istio.sidecar import Sidecar
from byway.kinds.resource import ResourceId
from byway.lowering.byway import mesh_config
from byway.lowering.istio import (
    authorization_policy,
    destination_rule,
    gateway,
    peer_authentication,
    sidecar,
    virtual_service,
    workload_entry,
)
from byway.lowering.kubernetes import service
from byway.model.destination import DestinationPolicy
from byway.model.egress import Egress
from byway.model.labels import Labels, labels_of
from byway.model.listener import GatewayServer
from byway.model.mesh import MeshDefaults
from byway.model.names import ANNOTATION_STAND_IN
from byway.model.policy import AccessPolicy, PeerPolicy
from byway.model.route import RouteRules
from byway.model.service import Service
from byway.model.workload import Workload
from byway.world.host import RESOURCE, STARTED_WITH
from byway.world.index import ids_of_kind

MESH_CONFIG_KIND = "MeshConfig"


@query
def service_of(db: Database, resource_id: ResourceId) -> Service | None:
    """The service that this object describes."""
    resource = RESOURCE(db, resource_id)
    return service.service(resource).value if resource else None


@query
def workload_of(db: Database, resource_id: ResourceId) -> Workload | None:
    """The instance that this object describes."""
    resource = RESOURCE(db, resource_id)
    return workload_entry.workload(resource).value if resource else None


@query
def derived_route_rules(db: Database, resource_id: ResourceId) -> Derived[RouteRules | None]:
    """What this object says about routes, and what is wrong with it."""
    resource = RESOURCE(db, resource_id)
    return virtual_service.route_rules(resource) if resource else Derived(None)


@query
def route_rules_of(db: Database, resource_id: ResourceId) -> RouteRules | None:
    """What this object says about routes."""
    return derived_route_rules(db, resource_id).value


@query
def destination_policy_of(db: Database, resource_id: ResourceId) -> DestinationPolicy | None:
    """What this object says about a destination."""
    resource = RESOURCE(db, resource_id)
    return destination_rule.destination_policy(resource).value if resource else None


@query
def gateway_servers_of(db: Database, resource_id: ResourceId) -> tuple[GatewayServer, ...]:
    """What this object opens on a gateway."""
    resource = RESOURCE(db, resource_id)
    return gateway.gateway_servers(resource).value if resource else ()


@query
def peer_policy_of(db: Database, resource_id: ResourceId) -> PeerPolicy | None:
    """What this object demands of callers."""
    resource = RESOURCE(db, resource_id)
    return peer_authentication.peer_policy(resource).value if resource else None


@query
def access_policy_of(db: Database, resource_id: ResourceId) -> AccessPolicy | None:
    """What this object lets through or refuses."""
    resource = RESOURCE(db, resource_id)
    return authorization_policy.access_policy(resource).value if resource else None


@query
def egress_of(db: Database, resource_id: ResourceId) -> Egress | None:
    """What this object lets its workloads call."""
    resource = RESOURCE(db, resource_id)
    return sidecar.egress(resource).value if resource else None


@query
def selector_of(db: Database, resource_id: ResourceId) -> Labels:
    """The labels that this policy or gateway selects workloads by."""
    resource = RESOURCE(db, resource_id)
    spec = resource.spec if resource else None
    if isinstance(spec, Gateway):
        return labels_of(spec.selector)
    if isinstance(spec, PeerAuthentication | AuthorizationPolicy) and spec.selector:
        return labels_of(spec.selector.match_labels)
    if isinstance(spec, Sidecar) and spec.workload_selector:
        return labels_of(spec.workload_selector.labels)
    return ()


@query
def is_stand_in(db: Database, resource_id: ResourceId) -> bool:
    """Whether it was made in the place of an object in quarantine."""
    resource = RESOURCE(db, resource_id)
    return resource is not None and ANNOTATION_STAND_IN in resource.annotations


@query
def mesh_defaults(db: Database) -> MeshDefaults:
    """What holds across the mesh: the MeshConfig over what the control plane was started with."""
    base = STARTED_WITH(db, "mesh")
    for resource_id in ids_of_kind(db, MESH_CONFIG_KIND):
        resource = RESOURCE(db, resource_id)
        if resource is not None:
            return mesh_config.mesh_defaults(resource, base).value
    return base
