"""Sidecar: the hosts that workloads may call; all its other fields are refused aloud."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest


def test_every_supported_field_is_read(reading: Any) -> None:
    spec = reading.spec(
        "Sidecar",
        "workloadSelector: {labels: {app: web}}\n"
        "egress: [{hosts: [./*, '*/a.b.svc.cluster.local', blue/links, '*/*', '~/*', 'blue/*.example.com']}]",
    )
    assert spec.workload_selector.labels == {"app": "web"}
    (listener,) = spec.egress
    assert listener.hosts == ("./*", "*/a.b.svc.cluster.local", "blue/links", "*/*", "~/*", "blue/*.example.com")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("egress: [{}]", "egress[0].hosts is missing (add it)"),
        ("egress: [{hosts: []}]", "egress[0].hosts is missing (add it)"),
        ("egress: [{hosts: [links]}]", 'egress[0].hosts[0]: "links" names no namespace (write "./links")'),
        ("egress: [{hosts: [a.com]}]", 'egress[0].hosts[0]: "a.com" names no namespace (write "*/a.com")'),
        ("egress: [{hosts: [A/links]}]", 'egress[0].hosts[0]: "A/links" has no valid namespace (before the slash stands a namespace, ".", "*" or "~")'),
        ("egress: [{hosts: ['*/links']}]", 'egress[0].hosts[0]: "*/links" is a short name in any namespace (write "./links", or the full name as in "*/links.default.svc.cluster.local")'),
        ("egress: [{hosts: ['./a*b']}]", 'egress[0].hosts[0]: host "a*b" has a wildcard inside (a wildcard is "*" alone, or "*." before a domain)'),
        ("egress: [{hosts: [./a]}, {hosts: [./b]}]", "egress[1]: only one egress listener may be without a port (put all hosts into one)"),
        ("egress: [{port: {number: 80}, hosts: [./a]}]", "egress[0].port is not supported yet (remove it)"),
        ("egress: [{bind: 10.0.0.1, hosts: [./a]}]", "egress[0].bind is not supported yet (remove it)"),
        ("egress: [{captureMode: NONE, hosts: [./a]}]", "egress[0].captureMode is not supported yet (remove it)"),
        ("ingress: []", "ingress is not supported yet (remove it)"),
        ("inboundConnectionPool: {}", "inboundConnectionPool is not supported yet (remove it)"),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", "outboundTrafficPolicy is not supported yet (remove it)"),
        ("workloadSelector: {matchLabels: {app: web}}", 'workloadSelector.matchLabels is no field of WorkloadSelector (did you mean "labels"?)'),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("Sidecar", spec) == [f"spec.{expected}"]
