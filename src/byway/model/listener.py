"""Where a proxy accepts connections, and what becomes of them."""

from __future__ import annotations

import msgspec

from byway.model.destination import ConnectionLimits
from byway.model.egress import HostPattern
from byway.model.labels import Labels
from byway.model.mesh import MeshDefaults
from byway.model.policy import Access, MutualTls
from byway.model.service import Protocol
from byway.model.workload import Workload


class View(msgspec.Struct, frozen=True):
    """All that makes two clients' routes differ: their namespace, the labels that some rule selects on, and the hosts that they
    may call at all (None: every one).
    """

    namespace: str
    labels: Labels = ()
    egress: tuple[HostPattern, ...] | None = None


class InboundPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the workload: `number` is the one that peers call, `application` the one it listens on.

    `limits` are the service's circuit breaker, which also protects each instance from all its callers together.
    """

    name: str
    number: int
    application: int
    protocol: Protocol
    mutual_tls: MutualTls
    access: Access
    limits: ConnectionLimits | None
    service: str
    service_name: str
    namespace: str


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """The server side of a sidecar; `other` rules the ports that no service declares."""

    workload: Workload
    ports: tuple[InboundPort, ...]
    other_mutual_tls: MutualTls
    other_access: Access
    mesh: MeshDefaults


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """The client side of a sidecar; `tcp_ports` are declared TCP, so that nobody waits for the client's first byte."""

    workload: Workload
    tcp_ports: tuple[int, ...]
    mesh: MeshDefaults


class GatewayListener(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a gateway."""

    workload: Workload
    port: int
    mesh: MeshDefaults


class GatewayServer(msgspec.Struct, frozen=True):
    """What one object opens on a gateway: `gateway` is its full name `namespace/name`, `hosts` what it lets in."""

    gateway: str
    port: int
    hosts: tuple[str, ...]
