"""What gRPC clients ignore is told at the field, where one of them may call the host, and nowhere else."""

from __future__ import annotations

import pytest

from byway.base.diagnostics import Diagnostic, Severity
from byway.testing.mesh import TestMesh, service

CODE = "ignored-by-grpc-clients"
GRPC = ({"name": "grpc", "port": 8080},)


def client(name: str = "client", namespace: str = "default", proxy: str = "byway.dev/proxy: grpc") -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}-1, namespace: {namespace}}}
spec:
  address: 10.0.0.9
  labels: {{app: {name}, service.istio.io/workload-name: {name}, {proxy}}}
"""


def routes(http: str, *, more: str = "", namespace: str = "default") -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: back, namespace: {namespace}}}
spec:
  hosts: [back.default.svc.cluster.local]
  {more}
  http:
  - route: [{{destination: {{host: back.default.svc.cluster.local}}}}]
    {http}
"""


def rule(policy: str, *, host: str = "back", namespace: str = "default") -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: back, namespace: {namespace}}}
spec:
  host: "{host}"
  {policy}
"""


def mesh(*others: str, ports: tuple[dict[str, object], ...] = GRPC) -> TestMesh:
    made = TestMesh()
    made.apply(service("back", ports=ports) + "".join(others))
    return made


def notes(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    told = [d for d in found if d.code == CODE]
    assert all(d.severity is Severity.INFO for d in told)
    return told


@pytest.mark.parametrize(
    ("http", "says", "place"),
    [
        ("rewrite: {uri: /x}", "do not rewrite path or authority", (10, 5)),
        ("headers: {request: {set: {x-a: b}}}", "do not change headers", (10, 5)),
        ("retries: {attempts: 2, perTryTimeout: 1s}", "do not limit the time of a single attempt", (10, 28)),
        ("retries: {attempts: 2, retryOn: '5xx,unavailable'}", "do not retry on 5xx", (10, 28)),
        ("retries: {attempts: 9}", "retry at most 4 times", (10, 15)),
        ("match: [{withoutHeaders: {a: {exact: x}, b: {exact: x}, c: {exact: x}, d: {exact: x}, e: {exact: x}}}]",
         "do not match this for calls that lack", (10, 14)),
    ],
)  # fmt: skip
def test_a_routes_field_that_is_ignored(http: str, says: str, place: tuple[int, int]) -> None:
    (note,) = notes(mesh(client()).apply(routes(http)))
    assert says in note.message
    assert "(such as client in namespace default)" in note.message
    assert note.position is not None
    assert (note.position.line, note.position.column) == place


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("trafficPolicy: {loadBalancer: {simple: RANDOM}}", "let instances take turns"),
        ("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}", "leave out no instance that fails"),
        ("trafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}", "keep no limit but http2MaxRequests"),
        ("trafficPolicy: {connectionPool: {http: {maxRetries: 3}}}", "keep no limit but http2MaxRequests"),
        ("subsets: [{name: a, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]", "take turns"),
        ("trafficPolicy: {portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: RANDOM}}]}", "take turns"),
    ],
)
def test_a_destinations_field_that_is_ignored(policy: str, says: str) -> None:
    (note,) = notes(mesh(client()).apply(rule(policy)))
    assert says in note.message
    assert note.position is not None
    assert note.position.line == 7
    assert note.position.column > 3


@pytest.mark.parametrize(
    "text",
    [
        routes("timeout: 3s"),
        routes("retries: {attempts: 4, retryOn: unavailable, backoff: 1s}"),
        routes("fault: {abort: {httpStatus: 503}}"),
        rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, connectionPool: {http: {http2MaxRequests: 5}}}"),
        routes("rewrite: {uri: /x}", more="gateways: [front]"),
        routes("match: [{sourceLabels: {app: other}}]\n    rewrite: {uri: /x}"),
        rule("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}", host="*.local"),
    ],
)
def test_what_holds_for_grpc_clients_too_or_does_not_concern_them_is_no_matter(text: str) -> None:
    assert notes(mesh(client()).apply(text)) == []


@pytest.mark.parametrize(
    "text", [routes("rewrite: {uri: /x}"), rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}")]
)
def test_nothing_is_told_where_no_grpc_client_may_call(text: str) -> None:
    assert notes(mesh(client(proxy="version: v1")).apply(text)) == []
    assert notes(mesh(client(), ports=({"name": "http", "port": 8080},)).apply(text)) == []
    limited = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: ["./other.default.svc.cluster.local"]}]}
"""
    found = mesh(client(), limited)
    assert notes(found.apply(text)) == []
    found.delete("Sidecar", "default")
    assert len(notes(found.apply(text))) == 1


def test_a_client_follows_its_own_namespaces_rule() -> None:
    policy = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    host = "back.default.svc.cluster.local"
    found = mesh(client(namespace="apart"))
    assert len(notes(found.apply(rule(policy)))) == 1
    assert len(notes(found.apply(rule(policy, host=host, namespace="apart")))) == 1
    assert notes(found.apply(rule(policy))) == []


def test_the_meshs_defaults_concern_every_grpc_client() -> None:
    text = rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}", host="*.local", namespace="istio-system")
    assert len(notes(mesh(client()).apply(text))) == 1
    assert notes(mesh().apply(text)) == []


def test_one_kind_of_field_is_told_once_a_resource() -> None:
    again = "".join(
        f"\n  - {{match: [{{uri: {{prefix: /{i}}}}}], rewrite: {{uri: /y}}, route: [{{destination: {{host: back}}}}]}}"
        for i in range(200)
    )
    (note,) = notes(mesh(client()).apply(routes("rewrite: {uri: /x}" + again)))
    assert note.message.endswith(", here and in 200 more places")


def test_one_instance_of_each_client_is_looked_at_once_and_no_other_workload() -> None:
    sidecars = "".join(client(f"s{i}", proxy="version: v1") for i in range(100))
    replicas = "".join(client().replace("client-1", f"client-{i}") for i in range(100))
    found = mesh(replicas, client("second"), sidecars)
    found.computed()
    found.apply(routes("rewrite: {uri: /x}"))
    assert sum(name.endswith("workload_of") for name in found.computed()) == 2
    found.apply(routes("rewrite: {uri: /y}"))
    assert not any(name.endswith(("workload_of", "caller", "first_clients")) for name in found.computed())


def test_of_very_many_clients_so_many_are_looked_at() -> None:
    found = mesh("".join(client(f"c{i}", f"n{i}") for i in range(300)))
    found.computed()
    assert len(notes(found.apply(routes("rewrite: {uri: /x}")))) == 1
    assert sum(name.endswith("workload_of") for name in found.computed()) == 100
