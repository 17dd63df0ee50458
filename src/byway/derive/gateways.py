"""Gateways: which servers a gateway's workload runs, and the routes behind them.

A gateway is told everything at once: its hosts are few and known, and it must not make a stranger's request wait.
"""

from __future__ import annotations

from byway.derive.endpoints import workload
from byway.derive.lowered import gateway_servers_of, route_rules_of, selector_of
from byway.derive.routes import routes_of
from byway.engine import Database, query
from byway.model.host import matches_host
from byway.model.labels import selects
from byway.model.listener import GatewayServer
from byway.model.route import Route, VirtualHost
from byway.world.index import INDEX


@query
def gateway_servers(db: Database, namespace: str, instance: str) -> tuple[GatewayServer, ...]:
    """What Gateway objects open on this instance."""
    found = workload(db, namespace, instance)
    if found is None:
        return ()
    ids = set(INDEX(db, ("gateway-selector",)))
    for pair in found.labels:
        ids |= INDEX(db, ("gateway-selector", *pair))
    selected = (i for i in sorted(ids) if selects(selector_of(db, i), found.labels))
    return tuple(server for i in selected for server in gateway_servers_of(db, i))


@query
def gateway_ports(db: Database, namespace: str, instance: str) -> tuple[int, ...]:
    """The ports that are open on this gateway, sorted."""
    return tuple(sorted({server.port for server in gateway_servers(db, namespace, instance)}))


@query
def gateway_hosts(db: Database, namespace: str, instance: str, port: int) -> tuple[VirtualHost, ...]:
    """The virtual hosts behind one port of this gateway, sorted by host."""
    routes: dict[str, list[Route]] = {}
    for server in gateway_servers(db, namespace, instance):
        if server.port != port:
            continue
        for resource_id in sorted(INDEX(db, ("gateway-routes", server.gateway))):
            rules = route_rules_of(db, resource_id)
            for host in rules.hosts if rules else ():
                admitted = _admitted(server, host)
                if rules is not None and admitted:
                    found = (
                        route
                        for rule in rules.rules
                        for route in routes_of(db, (), server.gateway, rule, rules.source, port)
                    )
                    routes.setdefault(admitted, []).extend(found)
    return tuple(VirtualHost(f"{host}:{port}", (host,), tuple(routes[host])) for host in sorted(routes))


def _admitted(server: GatewayServer, host: str) -> str:
    """The narrower of `host` and the server's pattern where they overlap, else an empty string."""
    for pattern in server.hosts:
        if matches_host(pattern, host):
            return host
        if matches_host(host, pattern):
            return pattern
    return ""
