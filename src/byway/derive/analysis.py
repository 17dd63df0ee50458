"""What is wrong with a resource among the others: findings that no single object shows.

An error refuses the resource; a warning tells what will not work until something else is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from typing import Final

import msgspec

from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.clusters import own_policies, subset
from byway.derive.egress import may_call
from byway.derive.endpoints import workload_port, workloads
from byway.derive.grpc_limits import grpc_limits
from byway.derive.lowered import (
    derived_route_rules,
    destination_policy_of,
    gateway_servers_of,
    mesh_defaults,
    selector_of,
    service_of,
    workload_of,
)
from byway.derive.services import service
from byway.engine import Database, query
from byway.kinds.path import child
from byway.kinds.resource import Resource, ResourceId
from byway.kinds.suggestion import closest, near
from byway.lowering.byway import mesh_config
from byway.lowering.istio import sidecar
from byway.model.labels import selects
from byway.model.mesh import Discovery
from byway.model.names import ANNOTATION_DISCOVERY, DOMAIN_SUFFIX, RESERVED_PORTS, service_host
from byway.model.route import Destination, RouteRules
from byway.world.host import RESOURCE, STARTED_WITH
from byway.world.index import BRANCHES, INDEX, Cell, labelled

_MOST_NAMED: Final = 5


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
        "Service": _service,
        "Sidecar": _sidecar,
        "WorkloadEntry": _workload_entry,
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
        others = _others(db, ("routes", host), resource.id) if "mesh" in rules.gateways else ""
        if others:
            yield _warning(
                resource,
                "conflicting-virtual-services",
                f"host {host} is routed by {others} as well",
                "spec.hosts",
                "put all rules for a host into one VirtualService: the order between several is by name",
            )
    yield from grpc_limits(db, resource)


def _destinations(db: Database, resource: Resource, rules: RouteRules) -> Iterator[Diagnostic]:
    for i, rule in enumerate(rules.rules):
        for j, split in enumerate(rule.splits):
            path = f"spec.http[{i}].route[{j}].destination"
            yield from _destination(db, resource, split.destination, path)


def _destination(db: Database, resource: Resource, to: Destination, path: str) -> Iterator[Diagnostic]:
    found = service(db, to.host)
    if found is None:
        text = f"no service has the host {to.host}; requests that are routed to it get 503"
        hint = _host_meant(db, to.host, resource.id.namespace) or "correct the host, or create the service"
        yield _warning(resource, "unknown-destination", text, f"{path}.host", hint)
        return
    if to.port and found.port(to.port) is None:
        known = ", ".join(str(port.number) for port in found.ports[:_MOST_NAMED])
        known += ", …" if len(found.ports) > _MOST_NAMED else ""
        text = f"service {to.host} has no port {to.port}; requests that are routed to it get 503"
        yield _warning(resource, "unknown-port", text, f"{path}.port", f"its ports are {known}")
    if to.subset and subset(db, resource.id.namespace, to.host, to.subset) is None:
        text = f"no DestinationRule for {to.host} has a subset {to.subset}; requests that are routed to it get 503"
        policies = own_policies(db, resource.id.namespace, to.host)
        hint = near(to.subset, (s.name for p in policies for s in p.subsets)) or "add the subset to a DestinationRule"
        yield _warning(resource, "unknown-subset", text, f"{path}.subset", hint)


def _gateways(db: Database, resource: Resource, rules: RouteRules) -> Iterator[Diagnostic]:
    for i, name in enumerate(rules.gateways):
        namespace, _, gateway = name.partition("/")
        if name != "mesh" and not gateway_servers_of(db, ResourceId("Gateway", namespace, gateway)):
            text = f"there is no Gateway {name}"
            hint = near(gateway, (g.name for g in INDEX(db, ("kind", "Gateway", namespace))))
            yield _warning(
                resource, "unknown-gateway", text, f"spec.gateways[{i}]", hint or "correct the name, or create it"
            )


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
        hint = _host_meant(db, policy.host, resource.id.namespace) or "correct the host, or create the service"
        yield _warning(resource, "unknown-destination", text, "spec.host", hint)
    yield from grpc_limits(db, resource)


def _host_meant(db: Database, host: str, namespace: str) -> str:
    """The service that is probably meant: one of a like name in the host's namespace, else of its name in another one."""
    name, _, rest = host.partition(".")
    where, _, domain = rest.partition(".")
    if domain not in ("", "svc", f"svc.{DOMAIN_SUFFIX}"):
        return ""
    hint = near(name, (i.name for i in INDEX(db, ("kind", "Service", where))))
    if hint:
        return hint if where == namespace else hint.replace('"?', f'.{rest}"?')
    elsewhere = (service_host(name, other) for other in sorted(BRANCHES(db, ("kind", "Service"))))
    return near(host, (h for h in elsewhere if service(db, h) is not None))


def _service(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    """A port that leads nowhere at any of the instances; a service without instances is no mistake."""
    found = service_of(db, resource.id)
    selected = workloads(db, found.namespace, found.selector) if found else ()
    if found is None or not selected:
        return
    for i, written in enumerate(resource.spec.ports):
        port = found.port(written.port)
        numbers = {workload_port(port, instance) for instance in selected} if port is not None else set()
        path = f"spec.ports[{i}].targetPort"
        if numbers == {0}:
            text = f"no workload behind {found.host} has a port {written.target_port}; calls of port {written.port} get 503"
            known = sorted({declared.name for instance in selected for declared in instance.ports})
            hint = (
                closest(str(written.target_port), known) or "write the number, or name it in the WorkloadEntry's ports"
            )
            yield _warning(resource, "unknown-target-port", text, path, hint)
        elif numbers and numbers <= set(RESERVED_PORTS):
            text = f"port {max(numbers)} is the sidecar's own; calls of port {written.port} end there"
            yield _warning(resource, "reserved-target-port", text, path, "let the application listen on another port")


def _selecting(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    """A policy that selects nobody looks like protection and is none."""
    selector = selector_of(db, resource.id)
    namespace = resource.id.namespace
    if not selector:
        return
    is_everywhere = resource.id.kind == "Gateway" or namespace == mesh_defaults(db).root_namespace
    if is_everywhere:
        entries = (workload_of(db, i) for i in labelled(db, selector))
        is_matched = any(w is not None and selects(selector, w.labels) for w in entries)
    else:
        is_matched = bool(workloads(db, namespace, selector))
    if not is_matched:
        wanted = ", ".join(f"{name}: {value}" for name, value in selector)
        text = f"no workload{'' if is_everywhere else f' in namespace {namespace}'} has the labels {wanted}"
        hint = "correct the selector; until a workload has them this has no effect"
        yield _warning(resource, "selector-matches-nothing", text, "spec.selector", hint)


def _sidecar(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    """Who is selected, whom it names, and whether another one stands before it."""
    selector, where = selector_of(db, resource.id), resource.id.namespace
    if selector and not workloads(db, where, selector):
        wanted = ", ".join(f"{name}: {value}" for name, value in selector)
        text = f"no workload in namespace {where} has the labels {wanted}"
        hint = "correct the selector; until a workload has them this has no effect"
        yield _warning(resource, "selector-matches-nothing", text, "spec.workloadSelector", hint)
    others = _others(db, ("policy", "Sidecar", where), resource.id) if not selector else ""
    if others:
        text = f"namespace {where} has {others} for all its workloads already; the first by name counts"
        yield _warning(
            resource, "several-sidecars", text, "metadata.name", "keep one of them, or add a workloadSelector"
        )
    for i, host in enumerate(resource.spec.egress[0].hosts if resource.spec.egress else ()):
        pattern = sidecar.pattern(host, where)
        if pattern.is_exact and pattern.namespace != "~" and not may_call(db, (pattern,), pattern.host):
            text = f"no service or VirtualService of namespace {pattern.namespace} has the host {pattern.host}"
            path = f"spec.egress[0].hosts[{i}]"
            yield _warning(resource, "unknown-destination", text, path, "correct the host, or create the service")


def _workload_entry(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    del db
    written = resource.annotations.get(ANNOTATION_DISCOVERY, "")
    if written and written not in Discovery._value2member_map_:
        text = f"{ANNOTATION_DISCOVERY} is {written}, which is no way of discovery"
        path = child("metadata.annotations", ANNOTATION_DISCOVERY)
        yield _error(resource, "unknown-discovery", text, path, "write lazy or eager")


def _mesh_config(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    base = STARTED_WITH(db, "mesh")
    yield from mesh_config.mesh_defaults(resource, base).diagnostics
    others = _others(db, ("kind", "MeshConfig", ""), resource.id)
    if others:
        text = f"the mesh has {others} already; only the first by name counts"
        yield _warning(resource, "several-mesh-configs", text, "metadata.name", "put everything into one MeshConfig")


@query
def _first(db: Database, cell: Cell) -> tuple[tuple[ResourceId, ...], int]:
    """The first resources of a cell by name, and how many it has: found once for all that are to name one another."""
    found = INDEX(db, cell)
    return tuple(nsmallest(_MOST_NAMED + 1, found)), len(found)


def _others(db: Database, cell: Cell, resource_id: ResourceId) -> str:
    """Who else is in the cell of `resource_id`: some names and how many more; empty where nobody is."""
    first, n_all = _first(db, cell)
    named = [i for i in first if i != resource_id][:_MOST_NAMED]
    n_more = n_all - 1 - len(named)
    return ", ".join(map(str, named)) + (f" and {n_more} more" if n_more > 0 else "")


def _warning(resource: Resource, code: str, message: str, path: str, hint: str) -> Diagnostic:
    return msgspec.structs.replace(_error(resource, code, message, path, hint), severity=Severity.WARNING)


def _error(resource: Resource, code: str, message: str, path: str, hint: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code=code,
        message=message,
        position=resource.position(path),
        hint=hint,
        subject=str(resource.id),
    )
