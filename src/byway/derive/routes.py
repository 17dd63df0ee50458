"""Virtual hosts: what a client's proxy does with requests for one authority.

A client's view (its namespace, and those of its labels that some rule selects on) is all that may make routes differ, so
proxies with the same view share one computation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from byway.derive.clusters import ClusterName
from byway.derive.egress import egress, may_call
from byway.derive.lowered import mesh_defaults, route_rules_of
from byway.derive.services import called, service
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.host import authority_parts, full_host, spellings, wildcards_over
from byway.model.labels import Labels, restricted, selects
from byway.model.listener import View
from byway.model.names import BLACK_HOLE
from byway.model.route import Destination, RequestMatch, Route, RouteRules, Rule, Split, VirtualHost, WeightedCluster
from byway.model.service import Service
from byway.world.index import INDEX

PLACEHOLDER = "placeholder"
MESH = "mesh"


@query
def selecting_labels(db: Database) -> tuple[str, ...]:
    """The names of the labels that any route rule selects clients by."""
    rules = (route_rules_of(db, i) for i in sorted(INDEX(db, ("reads-source-labels",))))
    matches = (m for r in rules if r is not None for rule in r.rules for m in rule.matches)
    return tuple(sorted({name for match in matches for name, _ in match.source_labels}))


@query
def view(db: Database, namespace: str, labels: Labels) -> View:
    """The view of a client with these labels."""
    return View(namespace, restricted(labels, selecting_labels(db)), egress(db, namespace, labels))


@query
def rules_for(db: Database, host: str) -> tuple[RouteRules, ...]:
    """What sidecars must do for `host`: the rules that name it, or else those of the most specific wildcard over it."""
    for pattern in (host, *wildcards_over(host)):
        found = _rules(db, INDEX(db, ("routes", pattern)))
        if found:
            return found
    return ()


@query
def virtual_host(db: Database, client: View, authority: str) -> VirtualHost | None:
    """The routes for `authority` (an HTTP Host header), or None where the mesh knows no such host."""
    name, number = authority_parts(authority)
    hit = called(db, client.namespace, authority)
    host = hit[0].host if hit else full_host(name, client.namespace)
    if client.egress is not None and not may_call(db, client.egress, host):
        return None
    rules = rules_for(db, host)
    # A service is called at its own ports, whatever routes there are; a host that only routes name has any port.
    if hit is None and (not rules or service(db, host) is not None):
        return None
    port = hit[1].number if hit else number or 80
    routes = tuple(
        route for r in rules for rule in r.rules for route in routes_of(db, client.labels, MESH, rule, r.source, port)
    )
    if not rules and hit is not None:
        routes = (_plain_route(db, hit[0], port),)
    has_port = ":" in authority or port == 80
    return VirtualHost(
        f"out/{host}:{port}" if has_port else f"out/{host}",
        _domains(hit and hit[0], host, client, port, has_port),
        routes,
    )


def routes_of(db: Database, labels: Labels, gateway: str, rule: Rule, source: str, port: int) -> Iterator[Route]:
    """The routes of one rule for clients with `labels` behind `gateway` who call `port`: one route a match."""
    mesh = mesh_defaults(db)
    clusters = tuple(_weighted(db, split, port) for split in rule.splits if split.weight)
    for match in rule.matches or (RequestMatch(),):
        if not selects(match.source_labels, labels):
            continue
        if (match.gateways and gateway not in match.gateways) or (match.port and match.port != port):
            continue
        yield Route(
            match=match,
            clusters=clusters,
            rule=rule,
            timeout=rule.timeout or mesh.timeout,
            retries=rule.retries or mesh.retries,
            source=source,
        )


def cluster_for(db: Database, destination: Destination, port: int) -> str:
    """The cluster that `destination` means for a request to `port`; one that refuses all where there is no such service."""
    found = service(db, destination.host)
    if found is None:
        return BLACK_HOLE
    number = destination.port or (port if found.port(port) else 0)
    if not number and len(found.ports) == 1:
        number = found.ports[0].number
    if found.port(number) is None:
        return BLACK_HOLE
    return str(ClusterName(number, destination.subset, found.host))


def _rules(db: Database, ids: Iterable[ResourceId]) -> tuple[RouteRules, ...]:
    found = (route_rules_of(db, resource_id) for resource_id in sorted(ids))
    return tuple(rules for rules in found if rules is not None)


def _weighted(db: Database, split: Split, port: int) -> WeightedCluster:
    return WeightedCluster(cluster_for(db, split.destination, port), split.weight, split.headers)


def _plain_route(db: Database, found: Service, port: int) -> Route:
    mesh = mesh_defaults(db)
    return Route(
        match=RequestMatch(),
        clusters=(WeightedCluster(str(ClusterName(port, "", found.host)), 1),),
        rule=Rule(),
        timeout=mesh.timeout,
        retries=mesh.retries,
        source=f"Service {found.namespace}/{found.name}",
    )


def _domains(found: Service | None, host: str, client: View, port: int, has_port: bool) -> tuple[str, ...]:
    names = [*spellings(host, client.namespace), *([found.vip] if found and found.vip else [])]
    ported = [f"{name}:{port}" for name in names] if has_port else []
    return (*ported, *(names if port == 80 or not has_port else ()))
