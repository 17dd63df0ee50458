"""What a workload may call, where an operator limits it; and calls by name, as a client makes them."""

from __future__ import annotations

import msgspec

from byway.model.host import matches_host

ANY_NAMESPACE = "*"


class Call(msgspec.Struct, frozen=True, order=True):
    """A host and port that is called; port 0 is an HTTP authority without a port, which means the service's only one."""

    host: str
    port: int
    is_tcp: bool = False


class HostPattern(msgspec.Struct, frozen=True, order=True):
    """Hosts (exact, `*`, or `*.suffix`) that are declared in a namespace, or in any."""

    namespace: str
    host: str

    @property
    def is_exact(self) -> bool:
        """Whether it names one host."""
        return not self.host.startswith("*")

    @property
    def is_everything(self) -> bool:
        """Whether it says nothing at all."""
        return self.namespace == ANY_NAMESPACE and self.host == "*"

    def covers(self, namespace: str, host: str) -> bool:
        """Whether `host`, declared in `namespace`, is one of these."""
        return self.namespace in (ANY_NAMESPACE, namespace) and matches_host(self.host, host)


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """What one object says about the calls of the workloads that it is for; `hosts` None: it limits nothing."""

    source: str
    hosts: tuple[HostPattern, ...] | None
