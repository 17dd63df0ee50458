"""DestinationRule: limits, ejection, TLS and subsets as Istio means them."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest

from byway.base.duration import Duration

FULL = """\
host: "*.local"
trafficPolicy:
  loadBalancer: {simple: LEAST_REQUEST}
  connectionPool:
    tcp: {maxConnections: 100, connectTimeout: 250ms}
    http:
      http1MaxPendingRequests: 1
      http2MaxRequests: 2
      maxRequestsPerConnection: 3
      maxRetries: 4
      idleTimeout: 1h
  outlierDetection:
    consecutive5xxErrors: 0
    consecutiveGatewayErrors: 5
    interval: 10s
    baseEjectionTime: 30s
    maxEjectionPercent: 100
    minHealthPercent: 50
    splitExternalLocalOriginErrors: true
    consecutiveLocalOriginFailures: 6
  tls: {mode: SIMPLE, sni: docs.example.com}
  portLevelSettings:
  - port: {number: 443}
    tls: {mode: ISTIO_MUTUAL}
subsets:
- name: v1
  labels: {version: v1}
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
- name: v2
"""


def test_every_supported_field_is_read(reading: Any) -> None:
    spec = reading.spec("DestinationRule", FULL)
    policy = spec.traffic_policy
    assert spec.host == "*.local"
    assert policy.load_balancer.simple == "LEAST_REQUEST"
    assert (policy.connection_pool.tcp.max_connections, policy.connection_pool.http.max_retries) == (100, 4)
    assert policy.connection_pool.http.idle_timeout == Duration.of(seconds=3600)
    assert (policy.outlier_detection.consecutive5xx_errors, policy.outlier_detection.consecutive_gateway_errors) == (
        0,
        5,
    )
    assert (policy.tls.mode, policy.tls.sni) == ("SIMPLE", "docs.example.com")
    assert policy.port_level_settings[0].port.number == 443
    assert [(subset.name, subset.labels) for subset in spec.subsets] == [("v1", {"version": "v1"}), ("v2", {})]


def test_what_is_absent_is_told_from_zero(reading: Any) -> None:
    detection = reading.spec(
        "DestinationRule", "host: a\ntrafficPolicy: {outlierDetection: {}}"
    ).traffic_policy.outlier_detection
    assert detection.consecutive5xx_errors is None
    assert detection.interval is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("subsets: []", "host is missing (add it)"),
        ("host: ''", 'host: host "" is no valid name (use lower-case letters, digits, hyphens and dots)'),
        ("host: a_b.*", 'host: host "a_b.*" has a wildcard inside (a wildcard is "*" alone, or "*." before a domain)'),
        ("host: a\ntrafficPolicy: {}", "trafficPolicy: the traffic policy sets nothing (fill it or remove it)"),
        ("host: a\ntrafficPolicy: {tunnel: {}}", "trafficPolicy.tunnel is not supported yet (remove it)"),
        ("host: a\ntrafficPolicy: {loadBalancer: {simple: ROUND_ROBBIN}}", 'trafficPolicy.loadBalancer.simple: "ROUND_ROBBIN" is not one of UNSPECIFIED, ROUND_ROBIN, LEAST_REQUEST, LEAST_CONN, RANDOM, PASSTHROUGH (did you mean "ROUND_ROBIN"?)'),
        ("host: a\ntrafficPolicy: {loadBalancer: {simple: random}}", 'trafficPolicy.loadBalancer.simple: "random" is not one of UNSPECIFIED, ROUND_ROBIN, LEAST_REQUEST, LEAST_CONN, RANDOM, PASSTHROUGH (did you mean "RANDOM"?)'),
        ("host: a\ntrafficPolicy: {loadBalancer: {simple: ''}}", 'trafficPolicy.loadBalancer.simple: "" is not one of UNSPECIFIED, ROUND_ROBIN, LEAST_REQUEST, LEAST_CONN, RANDOM, PASSTHROUGH (use one of LEAST_CONN, LEAST_REQUEST, PASSTHROUGH, RANDOM, ROUND_ROBIN, UNSPECIFIED)'),
        ("host: a\ntrafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}", "trafficPolicy.loadBalancer.consistentHash is not supported yet (remove it)"),
        ("host: a\ntrafficPolicy: {connectionPool: {}}", "trafficPolicy.connectionPool: the connection pool sets no limit (add tcp or http)"),
        ("host: a\ntrafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {}}}}", "trafficPolicy.connectionPool.tcp.tcpKeepalive is not supported yet (remove it)"),
        ("host: a\ntrafficPolicy: {connectionPool: {tcp: {maxConnections: 3000000000}}}", "trafficPolicy.connectionPool.tcp.maxConnections: 3000000000 is out of range (use 0 to 2147483647)"),
        ("host: a\ntrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}", "trafficPolicy.outlierDetection.maxEjectionPercent: 101 is out of range (use 0 to 100)"),
        ("host: a\ntrafficPolicy: {outlierDetection: {consecutiveErrors: 5}}", "trafficPolicy.outlierDetection.consecutiveErrors is not supported yet (remove it)"),
        ("host: a\ntrafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 5}}", "trafficPolicy.outlierDetection.consecutiveLocalOriginFailures: consecutiveLocalOriginFailures has no effect (set splitExternalLocalOriginErrors: true)"),
        ("host: a\ntrafficPolicy: {tls: {mode: MUTUAL}}", "trafficPolicy.tls.mode: MUTUAL is not supported yet (use one of DISABLE, SIMPLE, ISTIO_MUTUAL)"),
        ("host: a\ntrafficPolicy: {tls: {mode: SIMPLE, caCertificates: /x}}", "trafficPolicy.tls.caCertificates is not supported yet (remove it)"),
        ("host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]}", "trafficPolicy.portLevelSettings[1]: port 1 has two policies (merge them)"),
        ("host: a\ntrafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}", "trafficPolicy.portLevelSettings[0].port is missing (add it)"),
        ("host: a\nsubsets: [{name: v1}, {name: v1}]", 'subsets[1].name: subset "v1" is there twice (rename one of them)'),
        ("host: a\nsubsets: [{labels: {a: b}}]", "subsets[0].name is missing (add it)"),
        ("host: a\nsubsets: [{name: v1, labels: {version: 1}}]", 'subsets[0].labels.version: expected text, got the number 1 (put it in quotes: "1")'),
        ("host: a\nworkloadSelector: {}", "workloadSelector is not supported yet (remove it)"),
        ("host: a\nexportTo: ['*']", "exportTo is not supported yet (remove it)"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("DestinationRule", spec) == [f"spec.{expected}"]
