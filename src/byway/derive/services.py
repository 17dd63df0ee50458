"""Services as clients know them: by full name, by virtual address, by what an HTTP authority means."""

from __future__ import annotations

from byway.derive.lowered import service_of
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.host import authority_parts, candidate_services
from byway.model.service import Protocol, Service, ServicePort
from byway.model.workload import Workload
from byway.world.index import BRANCHES, INDEX


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
    namespaces = sorted(BRANCHES(db, ("kind", "Service")))
    return tuple(sorted(pair for namespace in namespaces for pair in names_in(db, namespace)))


@query
def names_in(db: Database, namespace: str) -> tuple[tuple[str, str], ...]:
    """The part of `names` that a change of one of the namespace's services can change."""
    found = (service_of(db, resource_id) for resource_id in sorted(INDEX(db, ("kind", "Service", namespace))))
    return tuple((s.host, s.vip) for s in found if s is not None and s.vip)


@query
def tcp_ports(db: Database) -> tuple[int, ...]:
    """Every port number that is TCP wherever it is declared: sniffing is switched off there (servers may speak first).

    Ports that are written alike mean the same, so one service is looked at for each way of writing one.
    """
    written = sorted(BRANCHES(db, ("port",)))
    ports = [(int(words.split()[0]), protocol_of(db, words)) for words in written]
    others = {number for number, protocol in ports if protocol not in (None, Protocol.TCP)}
    return tuple(sorted({number for number, protocol in ports if protocol is Protocol.TCP} - others))


@query
def protocol_of(db: Database, words: str) -> Protocol | None:
    """What is spoken on a port that is written so (a branch of the stem `port`); None where no proxy sees it."""
    ids = INDEX(db, ("port", words))
    found = service_of(db, min(ids)) if ids else None
    number, carried, _ = words.split(" ", 2)
    port = found.port(int(number)) if found is not None and carried in ("", "TCP") else None
    return port.protocol if port else None
