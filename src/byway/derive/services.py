"""Services as clients know them: by full name, by virtual address, by what an HTTP authority means."""

from __future__ import annotations

from byway.derive.lowered import service_of
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.host import authority_parts, candidate_services
from byway.model.service import Service, ServicePort
from byway.model.workload import Workload
from byway.world.index import INDEX


@query
def service(db: Database, host: str) -> Service | None:
    """The service of this full name."""
    ids = sorted(INDEX(db, ("service", host)))
    return service_of(db, ids[0]) if ids else None


@query
def service_at(db: Database, vip: str) -> Service | None:
    """The service of this virtual address."""
    ids = sorted(INDEX(db, ("vip", vip)))
    return service_of(db, ids[0]) if ids else None


@query
def services_before(db: Database, workload: Workload) -> tuple[Service, ...]:
    """The services that lead to this instance, by their selectors, sorted by name."""
    ids: set[ResourceId] = set()
    for name, value in workload.labels:
        ids |= INDEX(db, ("service-selector", workload.namespace, name, value))
    found = (service_of(db, resource_id) for resource_id in sorted(ids))
    return tuple(s for s in found if s is not None and set(s.selector) <= set(workload.labels))


@query
def called(db: Database, namespace: str, authority: str) -> tuple[Service, ServicePort] | None:
    """The service and port that a client in `namespace` means by `authority`.

    Without a port it means 80, or else the only HTTP port that the service has.
    """
    host, number = authority_parts(authority)
    candidates = (service(db, name) for name in candidate_services(host, namespace))
    found = next((s for s in candidates if s is not None), None) or service_at(db, host)
    if found is None:
        return None
    port = found.port(number or 80)
    if port is None and not number and ":" not in authority:
        http = [p for p in found.ports if p.protocol.is_http]
        port = http[0] if len(http) == 1 else None
    return (found, port) if port is not None else None


@query
def names(db: Database) -> tuple[tuple[str, str], ...]:
    """Every service's full name with its virtual address, sorted: what DNS answers."""
    found = (service_of(db, resource_id) for resource_id in sorted(INDEX(db, ("kind", "Service"))))
    return tuple((s.host, s.vip) for s in found if s is not None and s.vip)


@query
def tcp_ports(db: Database) -> tuple[int, ...]:
    """Every port number that is TCP wherever it is declared: sniffing is switched off there (servers may speak first)."""
    found = [service_of(db, resource_id) for resource_id in sorted(INDEX(db, ("kind", "Service")))]
    ports = [port for s in found if s is not None for port in s.ports]
    others = {port.number for port in ports if port.protocol.value != "tcp"}
    return tuple(sorted({port.number for port in ports if port.protocol.value == "tcp"} - others))
