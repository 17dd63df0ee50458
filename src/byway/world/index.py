"""Where each resource is found: the cells that lead from a host, an address or a label to the resources that name it.

A query asks for one cell, never for all resources of a kind, so the work of a change follows what names the changed thing.
What must find all of a kind goes from branch to branch: a cell is a namespace's share, so no set grows with the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from byway.engine import Database, Input
from byway.kinds.istio.authorization_policy import AuthorizationPolicy
from byway.kinds.istio.destination_rule import DestinationRule
from byway.kinds.istio.gateway import Gateway
from byway.kinds.istio.peer_authentication import PeerAuthentication
from byway.kinds.istio.sidecar import Sidecar
from byway.kinds.istio.virtual_service import VirtualService
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.kubernetes.service import Service
from byway.kinds.resource import Resource, ResourceId
from byway.model.host import full_host
from byway.model.labels import Labels, labels_of
from byway.model.names import LABEL_PROXY, LABEL_WORKLOAD, service_host
from byway.world.ids import NOBODY, Ids

Cell = tuple[str, ...]

INDEX: Input[Cell, Ids] = Input("index", default=NOBODY)

BRANCHES: Input[Cell, frozenset[str]] = Input("branches", default=frozenset())
"""For a stem: the last parts of all cells that begin with it and are not empty."""

_STEMS = frozenset({"kind", "port", "grpc-client"})


def cells(resource: Resource) -> frozenset[Cell]:
    """Every cell that leads to `resource`."""
    by_kind = _CELLS.get(resource.id.kind)
    return frozenset([("kind", resource.id.kind, resource.id.namespace), *(by_kind(resource) if by_kind else ())])


def stem(cell: Cell) -> Cell | None:
    """The stem that `cell` is a branch of; only some cells have one."""
    return cell[:-1] if cell[0] in _STEMS else None


def ids_of_kind(db: Database, kind: str) -> Iterator[ResourceId]:
    """Every resource of a kind, sorted."""
    for namespace in sorted(BRANCHES(db, ("kind", kind))):
        yield from INDEX(db, ("kind", kind, namespace))


def labelled(db: Database, selector: Labels, namespace: str = "") -> Iterator[ResourceId]:
    """The instances that `selector` may select, in one namespace or in all, sorted: its rarest pair's; all, if it is empty."""
    for where in [namespace] if namespace else sorted(BRANCHES(db, ("kind", "WorkloadEntry"))):
        pairs = [INDEX(db, ("workload-label", where, *pair)) for pair in selector]
        rarest = min(pairs, key=len) if pairs else INDEX(db, ("kind", "WorkloadEntry", where))
        yield from rarest


def first_pair(labels: dict[str, str]) -> Cell:
    """The one label by which a selector is found; empty for a selector that selects all."""
    return min(labels.items()) if labels else ()


def _service(resource: Resource) -> Iterator[Cell]:
    spec = resource.spec
    assert isinstance(spec, Service)
    yield ("service", service_host(resource.id.name, resource.id.namespace))
    if spec.cluster_ip and spec.cluster_ip != "None":
        yield ("vip", spec.cluster_ip)
    if spec.selector:
        yield ("service-selector", resource.id.namespace, *first_pair(spec.selector))
    for port in spec.ports:  # whatever can make two protocols of one number
        yield ("port", f"{port.port} {port.protocol} {(port.app_protocol or port.name).lower()}")


def _workload_entry(resource: Resource) -> Iterator[Cell]:
    spec = resource.spec
    assert isinstance(spec, WorkloadEntry)
    namespace = resource.id.namespace
    labels = {**resource.labels, **spec.labels}
    for name, value in labels_of(labels):
        yield ("workload-label", namespace, name, value)
    if labels.get(LABEL_PROXY) == "grpc":
        yield ("grpc-client", f"{namespace}/{labels.get(LABEL_WORKLOAD, resource.id.name)}")
    yield ("workload-account", namespace, spec.service_account or "default")


def _virtual_service(resource: Resource) -> Iterator[Cell]:
    spec, namespace = resource.spec, resource.id.namespace
    assert isinstance(spec, VirtualService)
    gateways = spec.gateways or ("mesh",)
    for gateway in gateways:
        if gateway != "mesh":
            yield ("gateway-routes", gateway if "/" in gateway else f"{namespace}/{gateway}")
    if "mesh" in gateways:
        for host in spec.hosts:
            yield ("routes", full_host(host, namespace))
    if any(match.source_labels for route in spec.http for match in route.match):
        yield ("reads-source-labels",)


def _destination_rule(resource: Resource) -> Iterator[Cell]:
    assert isinstance(resource.spec, DestinationRule)
    yield ("destination", full_host(resource.spec.host, resource.id.namespace))


def _gateway(resource: Resource) -> Iterator[Cell]:
    assert isinstance(resource.spec, Gateway)
    yield ("gateway-selector", *first_pair(resource.spec.selector))


def _selected(resource: Resource) -> Iterator[Cell]:
    spec = resource.spec
    assert isinstance(spec, PeerAuthentication | AuthorizationPolicy)
    selector = spec.selector.match_labels if spec.selector else {}
    yield ("policy", resource.id.kind, resource.id.namespace, *first_pair(selector))


def _sidecar(resource: Resource) -> Iterator[Cell]:
    spec = resource.spec
    assert isinstance(spec, Sidecar)
    selector = spec.workload_selector.labels if spec.workload_selector else {}
    yield ("policy", resource.id.kind, resource.id.namespace, *first_pair(selector))


_CELLS: dict[str, Callable[[Resource], Iterator[Cell]]] = {
    "Service": _service,
    "WorkloadEntry": _workload_entry,
    "VirtualService": _virtual_service,
    "DestinationRule": _destination_rule,
    "Gateway": _gateway,
    "PeerAuthentication": _selected,
    "AuthorizationPolicy": _selected,
    "Sidecar": _sidecar,
}
