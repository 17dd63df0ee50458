"""Whatever a mesh may say, the gRPC library takes what is made of it: no client is asked before a change, so none may refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any as AnyMessage

from byway.model.names import TYPE_CLUSTER, TYPE_ENDPOINTS, TYPE_ROUTE
from byway.testing.mesh import TestMesh, instance, service
from byway.xds.grpc_resources import client_root
from byway.xds.message import packed
from byway.xds.resource import Resource
from tests.real.grpc.library import Told, answers

TARGET = "back:8080"
TO = "route: [{destination: {host: back}}]"
REGEX = "x" * 1000
HEADERS = ", ".join(f"x-{n}: {{exact: a}}" for n in range(4))
ABSENT = ", ".join(f"x-{n}: {{exact: a}}" for n in range(6))
MOST = 2**31 - 1
SHARES = ", ".join(f"{{destination: {{host: back}}, weight: {weight}}}" for weight in (MOST, MOST, 1, 0))


def virtual_service(*http: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: back}}
spec: {{hosts: [back], http: [{", ".join(f"{{{rule}}}" for rule in http)}]}}
"""


def destination_rule(policy: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: back}}
spec: {{host: back, trafficPolicy: {{{policy}}}}}
"""


def told(*others: str) -> Told:
    """What a client in a mesh with these resources is told; the service has an instance in any case."""
    mesh = TestMesh()
    mesh.apply(
        service("back", ports=({"name": "grpc", "port": 8080},))
        + instance("back-1", app="back", address="10.0.0.2")
        + instance("client-1", app="client", address="10.0.0.9", is_meshed=False)
        + "".join(others)
    )

    def resource(type_url: str, name: str) -> Resource | None:
        root = client_root("default", "client-1", type_url, name)
        found = root.value(mesh.database) if root else None
        assert found is None or isinstance(found, Resource)
        return found

    return resource


@pytest.mark.parametrize(
    "http",
    [
        f"match: [{{uri: {{exact: /one}}}}, {{uri: {{prefix: no-slash}}}}, {{uri: {{regex: '/{REGEX}'}}}}], {TO}",
        f"match: [{{uri: {{prefix: /A}}, ignoreUriCase: true}}, {{uri: {{exact: ''}}}}, {{uri: {{prefix: //}}}}], {TO}",
        f"match: [{{headers: {{x-a: {{}}, x-b: {{regex: 'a|b'}}, x-c: {{prefix: a}}, content-type: {{exact: ''}}}}}}], {TO}",
        f"match: [{{withoutHeaders: {{{HEADERS}}}}}, {{withoutHeaders: {{{ABSENT}}}}}, {{withoutHeaders: {{x-a: {{}}}}}}], {TO}",
        f"match: [{{method: {{exact: GET}}}}, {{queryParams: {{a: {{exact: b}}}}}}], {TO}",
        f"route: [{SHARES}]",
        "route: [{destination: {host: nobody}}]",
        f"{TO}, timeout: 1ms, retries: {{attempts: {MOST}, retryOn: 'unavailable,5xx', backoff: 1ms, perTryTimeout: 1ms}}",
        f"{TO}, timeout: 8760h, retries: {{attempts: 1, retryOn: cancelled, backoff: 8760h}}",
        f"{TO}, fault: {{abort: {{httpStatus: 599, percentage: {{value: 0.0001}}}}, delay: {{fixedDelay: 8760h}}}}",
        f"{TO}, rewrite: {{uri: /x, authority: y}}, headers: {{request: {{set: {{x-a: b}}}}, response: {{remove: [x-c]}}}}",
    ],
)
def test_routes_are_taken(http: str, tmp_path: Path) -> None:
    assert answers(TARGET, told(virtual_service(http, TO)), TYPE_ROUTE, tmp_path)[TYPE_ROUTE] == ""


@pytest.mark.parametrize(
    "policy",
    [
        "tls: {mode: ISTIO_MUTUAL}",
        "tls: {mode: SIMPLE, sni: example.com}",
        f"tls: {{mode: DISABLE}}, connectionPool: {{tcp: {{maxConnections: 1}}, http: {{http2MaxRequests: {MOST}}}}}",
        "loadBalancer: {simple: RANDOM}, outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}",
    ],
)
def test_clusters_are_taken(policy: str, tmp_path: Path) -> None:
    assert answers(TARGET, told(destination_rule(policy)), TYPE_CLUSTER, tmp_path)[TYPE_CLUSTER] == ""


def twins() -> str:
    """Two more instances at the first one's address, and one address in two spellings."""
    addresses = ("10.0.0.2", "10.0.0.2", "2001:db8::1", "2001:0db8:0:0::1", "::ffff:10.0.0.2")
    return "".join(
        instance(f"twin-{n}", app="back", address=address).replace("address:", "weight: 4294967295\n  address:")
        for n, address in enumerate(addresses)
    )


def test_endpoints_are_taken_also_where_instances_share_an_address(tmp_path: Path) -> None:
    assert answers(TARGET, told(twins()), TYPE_ENDPOINTS, tmp_path)[TYPE_ENDPOINTS] == ""


def test_an_endpoint_that_is_there_twice_would_be_refused(tmp_path: Path) -> None:
    """The control: a refusal is seen here, and the library does refuse what is kept from it."""
    honest = told()

    def doubled(type_url: str, name: str) -> Resource | None:
        found = honest(type_url, name)
        if found is None or type_url != TYPE_ENDPOINTS:
            return found
        assignment = ClusterLoadAssignment()
        AnyMessage.FromString(found.any_bytes).Unpack(assignment)
        assignment.endpoints[0].lb_endpoints.append(assignment.endpoints[0].lb_endpoints[0])
        return Resource.of(type_url, name, packed(assignment).SerializeToString())

    assert "duplicate endpoint address" in answers(TARGET, doubled, TYPE_ENDPOINTS, tmp_path)[TYPE_ENDPOINTS]
