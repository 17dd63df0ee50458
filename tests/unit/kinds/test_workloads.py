"""Services, the instances behind them, and the mesh's own settings."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest

from byway.base.duration import Duration


def test_a_service_is_read(reading: Any) -> None:
    spec = reading.spec(
        "Service",
        "clusterIP: None\ntype: ClusterIP\nselector: {app: docs}\nipFamilies: [IPv4]\nports:\n"
        "- {name: http, port: 80, targetPort: 8080, protocol: TCP, appProtocol: http, nodePort: 30000}\n- {name: admin, port: 81, targetPort: adm}\n",
    )
    assert (spec.cluster_ip, spec.selector) == ("None", {"app": "docs"})
    assert [(port.name, port.port, port.target_port) for port in spec.ports] == [
        ("http", 80, 8080),
        ("admin", 81, "adm"),
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("clusterIP: x", 'clusterIP: clusterIP "x" is no IPv4 address (leave it out and Byway assigns one)'),
        ("clusterIP: 127.0.0.1", "clusterIP: clusterIP 127.0.0.1 cannot be a service's address (leave it out and Byway assigns one)"),
        ("type: ExternalName", 'type: "ExternalName" is not one of ClusterIP, NodePort, LoadBalancer (use one of ClusterIP, LoadBalancer, NodePort)'),
        ("externalName: a.b", "externalName is not supported yet (remove it)"),
        ("sessionAffinity: ClientIP", 'sessionAffinity: "ClientIP" is not one of None (use one of None)'),
        ("ports: [{}]", "ports[0].port is missing (add it)"),
        ("ports: [{port: 80}, {port: 81, name: b}]", "ports[0]: a service of several ports needs a name for each (add name)"),
        ("ports: [{port: 80, name: a}, {port: 80, name: b}]", "ports[1].port: port 80 is there twice (remove one of them)"),
        ("ports: [{port: 80, name: a}, {port: 81, name: a}]", 'ports[1].name: port name "a" is there twice (rename one of them)'),
        ("ports: [{port: 80, targetPort: 0}]", "ports[0].targetPort: 0 is no port (use 1 to 65535)"),
        ("ports: [{port: 80, targetPort: HTTP}]", 'ports[0].targetPort: "HTTP" is no port name (use a number, or at most 15 lower-case letters, digits and hyphens)'),
        ("ports: [{port: 80, targetPort: [1]}]", "ports[0].targetPort: expected a number or a name, got a list (write a port's number or name)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_service_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("Service", spec) == [f"spec.{expected}"]


def test_tcp_and_udp_may_share_a_port(reading: Any) -> None:
    spec = reading.spec("Service", "ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]")
    assert [port.protocol for port in spec.ports] == ["", "UDP"]


def test_a_workload_entry_is_read(reading: Any) -> None:
    spec = reading.spec(
        "WorkloadEntry",
        "address: 10.77.0.5\nports: {http: 8080}\nlabels: {app: docs, version: v1}\nserviceAccount: docs.reader\n"
        "weight: 5\nlocality: eu/a/b\nnetwork: n1\n",
    )
    assert (spec.address, spec.ports, spec.service_account, spec.weight) == (
        "10.77.0.5",
        {"http": 8080},
        "docs.reader",
        5,
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("labels: {a: b}", "address is missing (add it)"),
        ("address: docs.example.com", 'address: address "docs.example.com" is not supported yet (write an IP address)'),
        ("address: unix:///x", 'address: address "unix:///x" is not supported yet (write an IP address)'),
        ("address: 10.0.0.300.", 'address: "10.0.0.300." is no IP address (write it as 10.0.0.7)'),
        ("address: fe80::1%eth0", 'address: "fe80::1%eth0" is no IP address (write it as 10.0.0.7)'),
        ("address: 10.0.0.1\nports: {http: 0}", "ports.http: 0 is out of range (use 1 to 65535)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_workload_entry_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("WorkloadEntry", spec) == [f"spec.{expected}"]


def test_the_mesh_config_is_read(reading: Any) -> None:
    spec = reading.spec(
        "MeshConfig",
        "defaultHttpRetryPolicy: {attempts: 2, retryOn: 5xx}\ndefaultHttpTimeout: 15s\naccessLogFile: /dev/stdout\n"
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\ntrustDomain: example.org\nrootNamespace: mesh\nenableTracing: true\n"
        "defaultConfig: {tracing: {sampling: 12.5}}\nconnectTimeout: 10s\n"
        "discovery: eager\n",
    )
    assert (spec.default_http_retry_policy.attempts, spec.default_http_timeout) == (2, Duration.of(seconds=15))
    assert (spec.access_log_file, spec.outbound_traffic_policy.mode) == ("/dev/stdout", "REGISTRY_ONLY")
    assert (spec.trust_domain, spec.root_namespace, spec.enable_tracing) == ("example.org", "mesh", True)
    assert spec.discovery == "eager"
    assert (spec.default_config.tracing.sampling, spec.connect_timeout) == (12.5, Duration.of(seconds=10))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("extensionProviders: []", "extensionProviders is not supported yet (remove it)"),
        ("defaultHttpTimout: 5s", 'defaultHttpTimout is no field of MeshConfig (did you mean "defaultHttpTimeout"?)'),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "outboundTrafficPolicy.mode: ALLOW_ANY_DYNAMIC_DNS is not supported yet (use one of REGISTRY_ONLY, ALLOW_ANY)"),
        ("defaultConfig: {tracing: {sampling: 101}}", "defaultConfig.tracing.sampling: 101.0 is out of range (use 0 to 100)"),
        ("accessLogFile: log.txt", 'accessLogFile: "log.txt" is no absolute path (write /dev/stdout, or leave it out for no access log)'),
        ("connectTimeout: 0s", "connectTimeout: 0s is too short (write at least 1ms)"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_mesh_config_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("MeshConfig", spec) == [f"spec.{expected}"]
