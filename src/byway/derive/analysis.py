"""What is wrong with a resource among the others: findings that no single object shows.

An error refuses the resource; a warning tells what will not work until something else is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.clusters import subset
from byway.derive.endpoints import workloads
from byway.derive.lowered import (
    derived_route_rules,
    destination_policy_of,
    gateway_servers_of,
    mesh_defaults,
    selector_of,
    workload_of,
)
from byway.derive.services import service
from byway.engine import Database
from byway.kinds.resource import Resource, ResourceId
from byway.lowering.byway import mesh_config
from byway.model.labels import selects
from byway.model.route import Destination, RouteRules
from byway.world.host import RESOURCE, STARTED_WITH
from byway.world.index import INDEX


def findings(db: Database, resource_id: ResourceId) -> tuple[Diagnostic, ...]:
    """Everything wrong with this resource, by itself and among the others."""
    resource = RESOURCE(db, resource_id)
    if resource is None:
        return ()
    kinds = {
        "VirtualService": _virtual_service,
        "DestinationRule": _destination_rule,
        "MeshConfig": _mesh_config,
        "AuthorizationPolicy": _selecting,
        "PeerAuthentication": _selecting,
        "Gateway": _selecting,
    }
    examine = kinds.get(resource_id.kind)
    return tuple(examine(db, resource)) if examine else ()


def _virtual_service(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    derived = derived_route_rules(db, resource.id)
    yield from derived.diagnostics
    rules = derived.value
    if rules is None:
        return
    yield from _destinations(db, resource, rules)
    yield from _gateways(db, resource, rules)
    for host in rules.hosts:
        others = sorted(INDEX(db, ("routes", host)) - {resource.id})
        if others and "mesh" in rules.gateways:
            yield _warning(
                resource,
                "conflicting-virtual-services",
                f"host {host} is routed by {', '.join(map(str, others))} as well",
                "spec.hosts",
                "put all rules for a host into one VirtualService: the order between several is by name",
            )


def _destinations(db: Database, resource: Resource, rules: RouteRules) -> Iterator[Diagnostic]:
    for i, rule in enumerate(rules.rules):
        for j, split in enumerate(rule.splits):
            path = f"spec.http[{i}].route[{j}].destination"
            yield from _destination(db, resource, split.destination, path)


def _destination(db: Database, resource: Resource, to: Destination, path: str) -> Iterator[Diagnostic]:
    found = service(db, to.host)
    if found is None:
        text = f"no service has the host {to.host}; requests that are routed to it get 503"
        yield _warning(resource, "unknown-destination", text, f"{path}.host", "correct the host, or create the service")
        return
    if to.port and found.port(to.port) is None:
        known = ", ".join(str(port.number) for port in found.ports)
        text = f"service {to.host} has no port {to.port}; requests that are routed to it get 503"
        yield _warning(resource, "unknown-port", text, f"{path}.port", f"its ports are {known}")
    if to.subset and subset(db, resource.id.namespace, to.host, to.subset) is None:
        text = f"no DestinationRule for {to.host} has a subset {to.subset}; requests that are routed to it get 503"
        hint = "add the subset to a DestinationRule"
        yield _warning(resource, "unknown-subset", text, f"{path}.subset", hint)


def _gateways(db: Database, resource: Resource, rules: RouteRules) -> Iterator[Diagnostic]:
    for i, name in enumerate(rules.gateways):
        namespace, _, gateway = name.partition("/")
        if name != "mesh" and not gateway_servers_of(db, ResourceId("Gateway", namespace, gateway)):
            text = f"there is no Gateway {name}"
            yield _warning(resource, "unknown-gateway", text, f"spec.gateways[{i}]", "correct the name, or create it")


def _destination_rule(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    policy = destination_policy_of(db, resource.id)
    if policy is None:
        return
    if policy.host.startswith("*"):
        root = mesh_defaults(db).root_namespace
        if resource.id.namespace != root:
            text = f"a wildcard host is the mesh-wide default in namespace {root} only, so this rule has no effect"
            hint = f"move it to namespace {root}, or name a service"
            yield _warning(resource, "wildcard-outside-root", text, "spec.host", hint)
    elif service(db, policy.host) is None:
        text = f"no service has the host {policy.host}"
        yield _warning(resource, "unknown-destination", text, "spec.host", "correct the host, or create the service")


def _selecting(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    """A policy that selects nobody looks like protection and is none."""
    selector = selector_of(db, resource.id)
    namespace = resource.id.namespace
    if not selector:
        return
    is_everywhere = resource.id.kind == "Gateway" or namespace == mesh_defaults(db).root_namespace
    if is_everywhere:
        entries = (workload_of(db, i) for i in sorted(INDEX(db, ("kind", "WorkloadEntry"))))
        is_matched = any(w is not None and selects(selector, w.labels) for w in entries)
    else:
        is_matched = bool(workloads(db, namespace, selector))
    if not is_matched:
        wanted = ", ".join(f"{name}: {value}" for name, value in selector)
        text = f"no workload{'' if is_everywhere else f' in namespace {namespace}'} has the labels {wanted}"
        hint = "correct the selector; until a workload has them this has no effect"
        yield _warning(resource, "selector-matches-nothing", text, "spec.selector", hint)


def _mesh_config(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    base = STARTED_WITH(db, "mesh")
    yield from mesh_config.mesh_defaults(resource, base).diagnostics
    others = sorted(INDEX(db, ("kind", "MeshConfig")) - {resource.id})
    if others:
        text = f"the mesh has {', '.join(map(str, others))} already; only the first by name counts"
        yield _warning(resource, "several-mesh-configs", text, "metadata.name", "put everything into one MeshConfig")


def _warning(resource: Resource, code: str, message: str, path: str, hint: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.WARNING,
        code=code,
        message=message,
        position=resource.position(path),
        hint=hint,
        subject=str(resource.id),
    )
