"""What a sidecar is given before it asks: nothing of other services, or, where discovery is eager, every one that it may call.

The names are found namespace by namespace, so a service that comes or goes has its own namespace looked through and no other.
What workloads may call alike they are given alike: one tuple of names for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from byway.derive.egress import egress
from byway.derive.endpoints import workload
from byway.derive.lowered import mesh_defaults, route_rules_of, service_of
from byway.derive.services import service
from byway.engine import Database, query
from byway.model.egress import HostPattern
from byway.model.mesh import Discovery
from byway.model.names import ON_DEMAND_CLUSTER
from byway.model.service import Service
from byway.model.workload import Interception
from byway.world.index import BRANCHES, INDEX

_MESH: Final = "mesh"
_HTTP_PORT: Final = 80


class Given(msgspec.Struct, frozen=True):
    """Names of resources as a sidecar would ask for them: clusters by address, for TCP, and virtual hosts.

    The clusters that virtual hosts lead to come with these.
    """

    clusters: tuple[str, ...] = ()
    virtual_hosts: tuple[str, ...] = ()


@query
def given(db: Database, namespace: str, instance: str) -> Given:
    """What the sidecar beside this instance holds of other services without asking."""
    found = workload(db, namespace, instance)
    if found is None or found.interception is Interception.NONE:
        return Given()
    if (found.discovery or mesh_defaults(db).discovery) is Discovery.LAZY:
        return Given()
    all_of_them = everything(db, egress(db, namespace, found.labels))
    # Where proxying is explicit there is only HTTP.
    is_explicit = found.interception is Interception.EXPLICIT
    return Given((), all_of_them.virtual_hosts) if is_explicit else all_of_them


@query
def everything(db: Database, hosts: tuple[HostPattern, ...] | None) -> Given:
    """All that clients may call whom `hosts` limit (None: nothing does), sorted by namespace."""
    namespaces = sorted(BRANCHES(db, ("kind", "Service")) | BRANCHES(db, ("kind", "VirtualService")))
    parts = [everything_in(db, namespace, hosts) for namespace in namespaces]
    clusters = dict.fromkeys(name for part in parts for name in part.clusters)
    return Given(tuple(clusters), tuple(dict.fromkeys(name for part in parts for name in part.virtual_hosts)))


@query
def everything_in(db: Database, namespace: str, hosts: tuple[HostPattern, ...] | None) -> Given:
    """The part of `everything` that is declared in one namespace."""
    ids = sorted(INDEX(db, ("kind", "Service", namespace)))
    services = [s for s in (service_of(db, i) for i in ids) if s is not None and _is_covered(hosts, namespace, s.host)]
    routed = [host for host in _routed_hosts(db, namespace) if _is_covered(hosts, namespace, host)]
    return Given(
        tuple(name for found in services for name in _clusters(found)),
        (
            *(name for found in services for name in _virtual_hosts(found)),
            *(f"out/{host}:{_HTTP_PORT}" for host in routed),
        ),
    )


def _is_covered(hosts: tuple[HostPattern, ...] | None, namespace: str, host: str) -> bool:
    return hosts is None or any(pattern.covers(namespace, host) for pattern in hosts)


def _clusters(found: Service) -> Iterator[str]:
    for port in found.ports:
        if found.vip and not port.protocol.is_http:
            yield f"{ON_DEMAND_CLUSTER}{found.vip}:{port.number}"


def _virtual_hosts(found: Service) -> Iterator[str]:
    for port in found.ports:
        if port.protocol.is_http:
            yield f"out/{found.host}:{port.number}"


def _routed_hosts(db: Database, namespace: str) -> Iterator[str]:
    """The hosts that there are by routes alone. A wildcard names none."""
    for resource_id in sorted(INDEX(db, ("kind", "VirtualService", namespace))):
        rules = route_rules_of(db, resource_id)
        for host in rules.hosts if rules is not None and _MESH in rules.gateways else ():
            if not host.startswith("*") and service(db, host) is None:
                yield host
