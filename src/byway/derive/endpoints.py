"""The instances behind a service's port, or behind a subset of it."""

from __future__ import annotations

from byway.derive.authorization import mutual_tls
from byway.derive.lowered import workload_of
from byway.derive.services import service
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.labels import Labels, selects
from byway.model.policy import MutualTls
from byway.model.service import Service, ServicePort
from byway.model.workload import Endpoint, Interception, Workload
from byway.world.index import INDEX


@query
def workload(db: Database, namespace: str, instance: str) -> Workload | None:
    """The instance of this name."""
    return workload_of(db, ResourceId("WorkloadEntry", namespace, instance))


@query
def workloads(db: Database, namespace: str, selector: Labels) -> tuple[Workload, ...]:
    """The instances in `namespace` that `selector` (not empty) selects, sorted by name.

    They are looked up by the pair with the fewest instances, since a selector's pairs differ much in what they have.
    """
    if not selector:
        return ()
    ids = min((INDEX(db, ("workload-label", namespace, *pair)) for pair in selector), key=len)
    found = (workload_of(db, resource_id) for resource_id in sorted(ids))
    return tuple(w for w in found if w is not None and selects(selector, w.labels))


@query
def endpoints(db: Database, host: str, port: int, subset: Labels) -> tuple[Endpoint, ...]:
    """The instances behind port `port` of the service `host` whose labels include `subset`, sorted."""
    found = service(db, host)
    service_port = found.port(port) if found else None
    if found is None or service_port is None:
        return ()
    selected = workloads(db, found.namespace, found.selector)
    reachable = (_endpoint(db, w, found, service_port) for w in selected if selects(subset, w.labels))
    return tuple(endpoint for endpoint in reachable if endpoint is not None)


@query
def service_accounts(db: Database, host: str) -> tuple[tuple[str, str], ...]:
    """The (namespace, service account) pairs that the service's instances run as, sorted."""
    found = service(db, host)
    if found is None:
        return ()
    selected = workloads(db, found.namespace, found.selector)
    return tuple(sorted({(w.namespace, w.service_account) for w in selected if w.is_meshed}))


@query
def is_meshed(db: Database, host: str) -> bool:
    """Whether every instance of the service has a sidecar; a service without instances counts as meshed."""
    found = service(db, host)
    return found is None or all(w.is_meshed for w in workloads(db, found.namespace, found.selector))


@query
def plain_instances(db: Database, host: str, port: int) -> tuple[str, ...]:
    """The instances that have a sidecar and are called in plain text all the same, sorted."""
    found = service(db, host)
    service_port = found.port(port) if found else None
    if found is None or service_port is None:
        return ()
    selected = (
        (w, workload_port(service_port, w)) for w in workloads(db, found.namespace, found.selector) if w.is_meshed
    )
    return tuple(w.instance for w, number in selected if _mode(db, w, service_port, number) is MutualTls.DISABLE)


def workload_port(port: ServicePort, instance: Workload) -> int:
    """The port of `instance` that peers reach for `port`; 0 where it has none.

    A number is that port, declared or not; a name is the declared port of that name. Where nothing is said it is the one
    declared under the service port's own name (istio.io, WorkloadEntry.ports), else the same number.
    """
    declared = {candidate.name: candidate.number for candidate in instance.ports}
    if isinstance(port.target, str):
        return declared.get(port.target, 0)
    if instance.interception is Interception.EXPLICIT:
        return _port_of_proxy(port, instance, declared)
    return port.target or declared.get(port.name, port.number)


def _port_of_proxy(port: ServicePort, instance: Workload, declared: dict[str, int]) -> int:
    """The same without interception: only the proxy's own ports lead through it, and their numbers are whatever was free."""
    numbered = (p.number for p in instance.ports if port.target in (p.number, p.application))
    only = instance.ports[0].number if len(instance.ports) == 1 and not port.name else 0
    return next(numbered, declared.get(port.name, only))


def _endpoint(db: Database, instance: Workload, found: Service, port: ServicePort) -> Endpoint | None:
    number = workload_port(port, instance)
    if not number:
        return None
    return Endpoint(
        address=instance.address,
        port=number,
        weight=instance.weight,
        workload=instance.name,
        namespace=found.namespace,
        app=instance.app,
        version=instance.version,
        service_account=instance.service_account,
        takes_mutual_tls=instance.is_meshed and _mode(db, instance, port, number) is not MutualTls.DISABLE,
    )


def _mode(db: Database, instance: Workload, port: ServicePort, number: int) -> MutualTls:
    """What the instance's policy says of this port, by the number that operators write."""
    is_explicit = instance.interception is Interception.EXPLICIT
    return mutual_tls(db, instance.namespace, instance.labels, port.number if is_explicit else number)
