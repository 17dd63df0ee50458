"""DestinationRule: how callers treat the instances of a host: balancing, limits, ejection, TLS and subsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from byway.kinds.hosts import rule_host, sni, subset_name
from byway.kinds.istio.destination import PortSelector
from byway.kinds.istio.selector import Labels
from byway.kinds.message import Check, Count, Message, PercentInt, Problem, Span


class LoadBalancerSettings(Message, frozen=True, kw_only=True):
    """LEAST_CONN is the old name of LEAST_REQUEST."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.LoadBalancerSettings"
    ONEOFS: ClassVar[tuple[tuple[str, ...], ...]] = (("simple", "consistentHash"),)

    simple: Literal["", "UNSPECIFIED", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN", "RANDOM", "PASSTHROUGH"] = ""


class TCPSettings(Message, frozen=True, kw_only=True):
    """Limits of connections, for HTTP as well."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings"

    max_connections: Count = 0
    connect_timeout: Span | None = None


class HTTPSettings(Message, frozen=True, kw_only=True):
    """Limits of requests; 0 leaves Envoy's default."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.ConnectionPoolSettings.HTTPSettings"

    http1_max_pending_requests: Count = 0
    http2_max_requests: Count = 0
    max_requests_per_connection: Count = 0
    max_retries: Count = 0
    idle_timeout: Span | None = None


class ConnectionPoolSettings(Message, frozen=True, kw_only=True):
    """The circuit breaker: what is over a limit fails at once."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.ConnectionPoolSettings"

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None

    def problems(self) -> Iterator[Problem]:
        """A pool without limits is a mistake."""
        if self.tcp is None and self.http is None:
            yield Problem(message="the connection pool sets no limit", hint="add tcp or http")


class OutlierDetection(Message, frozen=True, kw_only=True):
    """When an instance that fails is left out, and for how long; None: default, 0: off."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.OutlierDetection"

    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: Count | None = None
    consecutive_gateway_errors: Count | None = None
    consecutive5xx_errors: Count | None = None
    interval: Span | None = None
    base_ejection_time: Span | None = None
    max_ejection_percent: PercentInt = 0
    min_health_percent: PercentInt = 0

    def problems(self) -> Iterator[Problem]:
        """Local failures are only counted apart when they are told apart."""
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            yield Problem(
                message="consecutiveLocalOriginFailures has no effect", hint="set splitExternalLocalOriginErrors: true",
                at="consecutiveLocalOriginFailures",
            )  # fmt: skip


class ClientTLSSettings(Message, frozen=True, kw_only=True):
    """How callers secure their connections; no mode is DISABLE, as in Istio."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.ClientTLSSettings"

    mode: Literal["", "DISABLE", "SIMPLE", "ISTIO_MUTUAL"] = ""
    sni: Annotated[str, Check(sni)] = ""


class PortTrafficPolicy(Message, frozen=True, kw_only=True):
    """The policy of one port, instead of (not on top of) the one for all ports."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.TrafficPolicy.PortTrafficPolicy"
    REQUIRED: ClassVar[tuple[str, ...]] = ("port",)

    port: PortSelector = PortSelector()
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TrafficPolicy(Message, frozen=True, kw_only=True):
    """What holds for the whole host, or for one subset of it."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.TrafficPolicy"

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Every port has one policy, and an empty policy is a mistake."""
        if self == TrafficPolicy():
            yield Problem(message="the traffic policy sets nothing", hint="fill it or remove it")
        seen: set[int] = set()
        for index, setting in enumerate(self.port_level_settings):
            number = setting.port.number
            if number in seen:
                yield Problem(
                    message=f"port {number} has two policies", hint="merge them", at=f"portLevelSettings[{index}]"
                )
            seen.add(number)


class Subset(Message, frozen=True, kw_only=True):
    """The instances of the host that carry these labels, under a name for routes."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Subset"
    REQUIRED: ClassVar[tuple[str, ...]] = ("name",)

    name: Annotated[str, Check(subset_name)] = ""
    labels: Labels = msgspec.field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Message, frozen=True, kw_only=True):
    """The rule of one host; a wildcard host in the root namespace is the default of the whole mesh."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.DestinationRule"
    REQUIRED: ClassVar[tuple[str, ...]] = ("host",)

    host: Annotated[str, Check(rule_host)] = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """A route names a subset, so there can be but one of that name."""
        seen: set[str] = set()
        for index, subset in enumerate(self.subsets):
            if subset.name in seen:
                yield Problem(
                    message=f'subset "{subset.name}" is there twice',
                    hint="rename one of them",
                    at=f"subsets[{index}].name",
                )
            seen.add(subset.name)
