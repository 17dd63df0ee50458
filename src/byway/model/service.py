"""A service: a name and a virtual address under which workloads are called."""

from __future__ import annotations

import enum

import msgspec

from byway.model.labels import Labels


class Protocol(enum.Enum):
    """What is spoken on a port, as far as a proxy must know."""

    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"
    TLS = "tls"

    @property
    def is_http(self) -> bool:
        """Whether a proxy can route single requests."""
        return self in {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC}

    @property
    def is_http2(self) -> bool:
        """Whether the application itself must be spoken to in HTTP/2."""
        return self in {Protocol.HTTP2, Protocol.GRPC}


class ServicePort(msgspec.Struct, frozen=True):
    """One port of a service; `target` is the port of the workloads behind it: a number, a name, or 0 for not said."""

    name: str
    number: int
    target: int | str
    protocol: Protocol


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service of the mesh. `vip` is its stable virtual address, empty for a headless one."""

    host: str
    name: str
    namespace: str
    vip: str
    ports: tuple[ServicePort, ...]
    selector: Labels

    def port(self, number: int) -> ServicePort | None:
        """The port with this number."""
        return next((port for port in self.ports if port.number == number), None)
