"""How a destination is called: load balancing, limits, ejection of bad instances, transport."""

from __future__ import annotations

import enum

import msgspec

from byway.base.duration import Duration
from byway.model.labels import Labels
from byway.model.service import Protocol


class Balancing(enum.Enum):
    """How an instance is chosen."""

    LEAST_REQUEST = "least-request"
    ROUND_ROBIN = "round-robin"
    RANDOM = "random"
    PASSTHROUGH = "passthrough"


class Transport(enum.Enum):
    """How the connection is secured. `AUTO`: mutual TLS to every instance that has a sidecar."""

    AUTO = "auto"
    DISABLE = "disable"
    MUTUAL = "mutual"
    SIMPLE = "simple"


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker's limits; 0 or None means Envoy's own default is lifted or kept as in Istio."""

    max_connections: int = 0
    connect_timeout: Duration | None = None
    max_pending_requests: int = 0
    max_requests: int = 0
    max_requests_per_connection: int = 0
    max_retries: int = 0
    idle_timeout: Duration | None = None


class Ejection(msgspec.Struct, frozen=True, kw_only=True):
    """When an instance is taken out (outlier detection); None keeps the default, 0 switches a trigger off."""

    consecutive_5xx: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_local_failures: int | None = None
    splits_local_failures: bool = False
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None


class TrafficPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator said; None where nothing was said, so that policies can be laid over one another."""

    balancing: Balancing | None = None
    limits: ConnectionLimits | None = None
    ejection: Ejection | None = None
    transport: Transport | None = None
    sni: str = ""

    def over(self, base: TrafficPolicy) -> TrafficPolicy:
        """This policy where it says something, `base` elsewhere."""
        return TrafficPolicy(
            balancing=self.balancing or base.balancing,
            limits=self.limits if self.limits is not None else base.limits,
            ejection=self.ejection if self.ejection is not None else base.ejection,
            transport=self.transport or base.transport,
            sni=self.sni or base.sni,
        )


class Subset(msgspec.Struct, frozen=True):
    """A named share of a service's instances."""

    name: str
    labels: Labels
    policy: TrafficPolicy = TrafficPolicy()


class DestinationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one object says about a host (a pattern or a full name)."""

    source: str
    host: str
    policy: TrafficPolicy
    ports: tuple[tuple[int, TrafficPolicy], ...] = ()
    subsets: tuple[Subset, ...] = ()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A group of instances as a client's proxy holds it; `identities` are the SPIFFE ids that they may show.

    `plain_instances` have a sidecar, which is to be called in plain text.
    """

    name: str
    service: str
    service_name: str
    service_namespace: str
    protocol: Protocol
    policy: TrafficPolicy
    identities: tuple[str, ...]
    is_meshed: bool
    plain_instances: tuple[str, ...]
    sni: str
    connect_timeout: Duration
