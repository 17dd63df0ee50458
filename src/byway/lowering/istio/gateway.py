"""Gateway → gateway servers."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio.gateway import Gateway
from byway.kinds.resource import Resource
from byway.model.host import full_host
from byway.model.listener import GatewayServer


def gateway_servers(resource: Resource) -> Derived[tuple[GatewayServer, ...]]:
    """What a Gateway opens: a server a port, with the hosts that it lets in."""
    spec = resource.spec
    assert isinstance(spec, Gateway)
    namespace = resource.id.namespace
    servers = tuple(
        GatewayServer(
            f"{namespace}/{resource.id.name}",
            server.port.number if server.port else 0,
            tuple(full_host(host.rpartition("/")[2], namespace) for host in server.hosts),
        )
        for server in spec.servers
    )
    return Derived(servers)
