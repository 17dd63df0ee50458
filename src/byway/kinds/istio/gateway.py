"""Gateway: the ports and hosts that a proxy at the mesh's edge serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec

from byway.kinds.hosts import server_host
from byway.kinds.istio.selector import Labels
from byway.kinds.message import Check, Message, Problem
from byway.kinds.message import Port as PortNumber
from byway.kinds.suggestion import closest

PROTOCOLS: Final = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS")


def protocol(value: str) -> Problem | None:
    """Istio reads protocols in any case; Byway's gateways speak HTTP for now."""
    if value.upper() == "HTTP":
        return None
    if value.upper() in PROTOCOLS:
        return Problem(code="unsupported-value", message=f"protocol {value} is not supported yet", hint="use HTTP")
    return Problem(message=f'"{value}" is no protocol', hint=closest(value, PROTOCOLS))


class Port(Message, frozen=True, kw_only=True):
    """The port that a server listens on."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Port"
    REQUIRED: ClassVar[tuple[str, ...]] = ("number", "protocol", "name")

    number: PortNumber = 0
    protocol: Annotated[str, Check(protocol)] = ""
    name: str = ""


class Server(Message, frozen=True, kw_only=True):
    """One port and the hosts that are let in by it (`namespace/host` limits whose VirtualServices may bind)."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Server"
    REQUIRED: ClassVar[tuple[str, ...]] = ("port", "hosts")

    port: Port = Port()
    hosts: Annotated[tuple[str, ...], Check(server_host)] = ()
    name: str = ""


class Gateway(Message, frozen=True, kw_only=True):
    """Served by the gateway workloads that carry the selector's labels."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Gateway"
    REQUIRED: ClassVar[tuple[str, ...]] = ("servers",)

    selector: Labels = msgspec.field(default_factory=dict)
    servers: tuple[Server, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Port names are unique within the gateway, and so are the servers' own."""
        ports: dict[str, int] = {}
        names: set[str] = set()
        for index, server in enumerate(self.servers):
            port = server.port
            if ports.setdefault(port.name, port.number) != port.number:
                yield Problem(
                    message=f'port name "{port.name}" is there twice',
                    hint="rename one",
                    at=f"servers[{index}].port.name",
                )
            if server.name and server.name in names:
                yield Problem(
                    message=f'server "{server.name}" is there twice', hint="rename one", at=f"servers[{index}].name"
                )
            names.add(server.name)
