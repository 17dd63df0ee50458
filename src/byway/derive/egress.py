"""What a workload may call, and what its operator says that it calls.

A Sidecar counts as in Istio: the one that selects the workload, else the namespace's own, else the root namespace's; the first
of them that says anything. It limits which hosts a workload can name. Where the routes of a host lead is the host's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from byway.derive.lowered import egress_of, mesh_defaults, selector_of, service_of
from byway.derive.services import service
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.egress import Call, HostPattern
from byway.model.host import wildcards_over
from byway.model.labels import Labels, selects
from byway.model.service import Service
from byway.world.index import INDEX, ids_of_kind

WILDCARD_LIMIT: Final = 100
"""Services that the wildcards of one Sidecar name; who means more than that does not mean to call them all."""
_HTTP_PORT: Final = 80


@query
def egress(db: Database, namespace: str, labels: Labels) -> tuple[HostPattern, ...] | None:
    """The hosts that workloads with `labels` in `namespace` may call; None: every one."""
    root = mesh_defaults(db).root_namespace
    cells = [("policy", "Sidecar", namespace, *pair) for pair in labels]
    selecting = {i for cell in cells for i in INDEX(db, cell) if selects(selector_of(db, i), labels)}
    for_all = [sorted(INDEX(db, ("policy", "Sidecar", where))) for where in dict.fromkeys((namespace, root))]
    for resource_id in (*sorted(selecting), *(i for ids in for_all for i in ids)):
        found = egress_of(db, resource_id)
        if found is not None and found.hosts is not None:
            return found.hosts
    return None


@query
def may_call(db: Database, hosts: tuple[HostPattern, ...], host: str) -> bool:
    """Whether `hosts` cover `host`: in its service's namespace, or in that of the rules for it where it has no service."""
    found = service(db, host)
    namespaces = {found.namespace} if found else {i.namespace for i in _rules(db, host)}
    return any(pattern.covers(namespace, host) for pattern in hosts for namespace in namespaces)


@query
def named_calls(db: Database, namespace: str, labels: Labels) -> tuple[Call, ...]:
    """Every port of the services that a Sidecar names, those named exactly first. `*/*` names nothing in particular."""
    hosts = [pattern for pattern in egress(db, namespace, labels) or () if not pattern.is_everything]
    exact = [call for pattern in hosts if pattern.is_exact for call in _exact(db, pattern)]
    wildcards = [pattern for pattern in hosts if not pattern.is_exact]
    covered = islice(_covered(db, wildcards), WILDCARD_LIMIT) if wildcards else ()
    return tuple(dict.fromkeys((*exact, *(call for found in covered for call in _calls(found)))))


def _exact(db: Database, pattern: HostPattern) -> Iterator[Call]:
    found = service(db, pattern.host)
    if found is not None and pattern.covers(found.namespace, found.host):
        yield from _calls(found)
    elif found is None and any(pattern.covers(i.namespace, pattern.host) for i in _rules(db, pattern.host)):
        yield Call(pattern.host, _HTTP_PORT)


def _covered(db: Database, patterns: list[HostPattern]) -> Iterator[Service]:
    for resource_id in ids_of_kind(db, "Service"):
        near = [p for p in patterns if p.covers(resource_id.namespace, p.host)]
        found = service_of(db, resource_id) if near else None
        if found is not None and any(pattern.covers(found.namespace, found.host) for pattern in near):
            yield found


def _calls(found: Service) -> Iterator[Call]:
    yield from (Call(found.host, port.number, not port.protocol.is_http) for port in found.ports)


def _rules(db: Database, host: str) -> Iterator[ResourceId]:
    for pattern in (host, *wildcards_over(host)):
        yield from sorted(INDEX(db, ("routes", pattern)))
