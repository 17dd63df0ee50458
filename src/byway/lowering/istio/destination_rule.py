"""DestinationRule → destination policy."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio import destination_rule as written
from byway.kinds.resource import Resource
from byway.model.destination import (
    Balancing,
    ConnectionLimits,
    DestinationPolicy,
    Ejection,
    Subset,
    TrafficPolicy,
    Transport,
)
from byway.model.host import full_host
from byway.model.labels import labels_of

_BALANCING = {
    "": None,
    "UNSPECIFIED": None,
    "LEAST_CONN": Balancing.LEAST_REQUEST,
    "LEAST_REQUEST": Balancing.LEAST_REQUEST,
    "ROUND_ROBIN": Balancing.ROUND_ROBIN,
    "RANDOM": Balancing.RANDOM,
    "PASSTHROUGH": Balancing.PASSTHROUGH,
}
_TRANSPORT = {"DISABLE": Transport.DISABLE, "SIMPLE": Transport.SIMPLE, "ISTIO_MUTUAL": Transport.MUTUAL}


def destination_policy(resource: Resource) -> Derived[DestinationPolicy]:
    """What a DestinationRule says about its host."""
    spec = resource.spec
    assert isinstance(spec, written.DestinationRule)
    policy = DestinationPolicy(
        source=str(resource.id),
        host=full_host(spec.host, resource.id.namespace),
        policy=_traffic_policy(spec.traffic_policy),
        ports=tuple(
            (port.port.number, _traffic_policy(port))
            for port in (spec.traffic_policy.port_level_settings if spec.traffic_policy else ())
            if port.port is not None
        ),
        subsets=tuple(
            Subset(subset.name, labels_of(subset.labels), _traffic_policy(subset.traffic_policy))
            for subset in spec.subsets
        ),
    )
    return Derived(policy)


def _traffic_policy(policy: written.TrafficPolicy | written.PortTrafficPolicy | None) -> TrafficPolicy:
    if policy is None:
        return TrafficPolicy()
    return TrafficPolicy(
        balancing=_BALANCING[policy.load_balancer.simple] if policy.load_balancer else None,
        limits=_limits(policy.connection_pool),
        ejection=_ejection(policy.outlier_detection),
        transport=_TRANSPORT[policy.tls.mode or "DISABLE"] if policy.tls else None,
        sni=policy.tls.sni if policy.tls else "",
    )


def _limits(pool: written.ConnectionPoolSettings | None) -> ConnectionLimits | None:
    if pool is None:
        return None
    tcp, http = pool.tcp, pool.http
    return ConnectionLimits(
        max_connections=tcp.max_connections if tcp else 0,
        connect_timeout=tcp.connect_timeout if tcp else None,
        max_pending_requests=http.http1_max_pending_requests if http else 0,
        max_requests=http.http2_max_requests if http else 0,
        max_requests_per_connection=http.max_requests_per_connection if http else 0,
        max_retries=http.max_retries if http else 0,
        idle_timeout=http.idle_timeout if http else None,
    )


def _ejection(outlier: written.OutlierDetection | None) -> Ejection | None:
    if outlier is None:
        return None
    return Ejection(
        consecutive_5xx=outlier.consecutive5xx_errors,
        consecutive_gateway_errors=outlier.consecutive_gateway_errors,
        consecutive_local_failures=outlier.consecutive_local_origin_failures,
        splits_local_failures=outlier.split_external_local_origin_errors,
        interval=outlier.interval,
        base_ejection_time=outlier.base_ejection_time,
        max_ejection_percent=outlier.max_ejection_percent or None,
        min_health_percent=outlier.min_health_percent or None,
    )
