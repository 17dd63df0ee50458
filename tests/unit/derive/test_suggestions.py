"""What was probably meant is named where something that is not there was written."""

from __future__ import annotations

import pytest

from byway.testing.mesh import TestMesh, service

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: link-service}
spec: {host: link-service, subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]}
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entrance}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
"""


def mesh() -> TestMesh:
    made = TestMesh()
    made.apply(service("link-service") + service("geo-service"))
    made.apply(service("ledger").replace("namespace: default", "namespace: bank"))
    made.apply(RULE + "---" + GATEWAY)
    return made


def route(destination: str, gateways: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: x}}
spec:
  hosts: [link-service]{gateways and f"{chr(10)}  gateways: [{gateways}]"}
  http:
  - route:
    - destination:
        {destination}
"""


@pytest.mark.parametrize(
    ("destination", "hint"),
    [
        ("host: lnik-service", 'did you mean "link-service"?'),
        ("host: lnik-service.default.svc.cluster.local", 'did you mean "link-service"?'),
        ("host: legder.bank.svc.cluster.local", 'did you mean "ledger.bank.svc.cluster.local"?'),
        ("host: ledger", 'did you mean "ledger.bank.svc.cluster.local"?'),
        ("host: something-else", "correct the host, or create the service"),
        ("host: example.com", "correct the host, or create the service"),
        ("{host: link-service, subset: canry}", 'did you mean "canary"?'),
        ("{host: link-service, subset: v2}", "add the subset to a DestinationRule"),
        ("{host: geo-service, subset: canary}", "add the subset to a DestinationRule"),
    ],
)
def test_a_destination_that_is_not_there(destination: str, hint: str) -> None:
    (found,) = mesh().apply(route(destination), "routes.yaml")
    assert found.hint == hint
    assert found.position is not None
    assert (found.position.file, found.position.line) == ("routes.yaml", 10)


def test_a_gateway_that_is_not_there() -> None:
    (found,) = mesh().apply(route("host: link-service", "entrence"))
    assert (found.code, found.hint) == ("unknown-gateway", 'did you mean "entrance"?')


def test_the_host_of_a_destination_rule_that_is_not_there() -> None:
    (found,) = mesh().apply(RULE.replace("host: link-service", "host: link-servise"))
    assert found.hint == 'did you mean "link-service"?'
