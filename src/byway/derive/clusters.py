"""Clusters: a service's port or subset with all that operators said about calling it.

Policies are laid over one another: the service's own DestinationRule (subset, then port, then whole host) over the mesh-wide
one (a wildcard host in the root namespace), so that a mesh-wide circuit breaker holds also for services with rules of their own.
"""

from __future__ import annotations

import msgspec

from byway.derive.endpoints import is_meshed, plain_instances, service_accounts
from byway.derive.lowered import destination_policy_of, mesh_defaults
from byway.derive.services import service, service_at
from byway.engine import Database, query
from byway.model.destination import Cluster, DestinationPolicy, Subset, TrafficPolicy
from byway.model.host import wildcards_over
from byway.model.service import Service, ServicePort
from byway.world.index import INDEX


class ClusterName(msgspec.Struct, frozen=True):
    """The parts of `outbound|<port>|<subset>|<host>`, Istio's naming of clusters."""

    port: int
    subset: str
    host: str

    def __str__(self) -> str:
        return f"outbound|{self.port}|{self.subset}|{self.host}"

    @classmethod
    def parse(cls, name: str) -> ClusterName | None:
        """The parts of `name`, or None where it is no such name."""
        parts = name.split("|")
        if len(parts) != 4 or parts[0] != "outbound" or not parts[1].isdigit():
            return None
        return cls(int(parts[1]), parts[2], parts[3])


@query
def own_policies(db: Database, namespace: str, host: str) -> tuple[DestinationPolicy, ...]:
    """What is said about exactly this host: by the client's namespace first, then the service's, then any other."""
    ids = INDEX(db, ("destination", host))
    found = service(db, host)
    order = {namespace: 0, found.namespace if found else "": 1}
    ranked = sorted(ids, key=lambda i: (order.get(i.namespace, 2), i))
    if ranked:
        first = order.get(ranked[0].namespace, 2)
        ranked = [i for i in ranked if order.get(i.namespace, 2) == first]
    policies = (destination_policy_of(db, i) for i in ranked)
    return tuple(p for p in policies if p is not None)


@query
def default_policy(db: Database, host: str) -> TrafficPolicy:
    """What the root namespace says about all hosts like this one; the most specific pattern wins, part by part."""
    root = mesh_defaults(db).root_namespace
    merged = TrafficPolicy()
    for pattern in wildcards_over(host):
        for resource_id in sorted(INDEX(db, ("destination", pattern))):
            policy = destination_policy_of(db, resource_id) if resource_id.namespace == root else None
            if policy is not None:
                merged = merged.over(policy.policy)
    return merged


@query
def subset(db: Database, namespace: str, host: str, name: str) -> Subset | None:
    """The subset of this name, as a client in `namespace` sees it."""
    subsets = (s for policy in own_policies(db, namespace, host) for s in policy.subsets)
    return next((s for s in subsets if s.name == name), None)


@query
def traffic_policy(db: Database, namespace: str, name: ClusterName) -> TrafficPolicy:
    """Everything said about this cluster, merged."""
    merged = default_policy(db, name.host)
    own = own_policies(db, namespace, name.host)
    for policy in reversed(own):
        # As in Istio, what is said for one port stands instead of what is said for the whole host.
        merged = dict(policy.ports).get(name.port, policy.policy).over(merged)
    chosen = subset(db, namespace, name.host, name.subset) if name.subset else None
    return chosen.policy.over(merged) if chosen else merged


@query
def cluster(db: Database, namespace: str, name: str) -> Cluster | None:
    """The cluster of this name (`outbound|…` or, on demand, `tcp|<vip>:<port>`), as a client in `namespace` calls it."""
    parts = ClusterName.parse(name)
    if parts is None:
        return _called_by_address(db, namespace, name)
    found = service(db, parts.host)
    port = found.port(parts.port) if found else None
    return _cluster(db, namespace, parts, found, port, name) if found and port else None


def _called_by_address(db: Database, namespace: str, name: str) -> Cluster | None:
    kind, _, address = name.partition("|")
    vip, _, number = address.rpartition(":")
    found = service_at(db, vip) if kind == "tcp" else None
    port = found.port(int(number)) if found and number.isdigit() else None
    if found is None or port is None:
        return None
    return _cluster(db, namespace, ClusterName(port.number, "", found.host), found, port, name)


def _cluster(db: Database, namespace: str, parts: ClusterName, found: Service, port: ServicePort, name: str) -> Cluster:
    policy = traffic_policy(db, namespace, parts)
    mesh = mesh_defaults(db)
    return Cluster(
        name=name,
        service=found.host,
        service_name=found.name,
        service_namespace=found.namespace,
        protocol=port.protocol,
        policy=policy,
        identities=tuple(
            f"spiffe://{mesh.trust_domain}/ns/{ns}/sa/{account}" for ns, account in service_accounts(db, found.host)
        ),
        is_meshed=is_meshed(db, found.host),
        plain_instances=plain_instances(db, found.host, port.number),
        sni=f"outbound_.{parts.port}_.{parts.subset}_.{parts.host}",
        connect_timeout=(policy.limits and policy.limits.connect_timeout) or mesh.connect_timeout,
    )
