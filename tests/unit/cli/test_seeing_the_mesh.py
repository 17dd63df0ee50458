"""`get`, `status`, `certs`, `graph`, `top`, `traces`, `proxy-config`: tables for people, data for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml

from byway.admin.port import ProxyStatus
from byway.cli.status import remaining, status_table
from byway.kinds.decode import decode
from byway.kinds.text import documents
from tests.unit.cli.conftest import Byway, block
from tests.unit.cli.recorded import RecordedControlPlane

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

LINK_SERVICE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "link-service", "namespace": "default"},
    "spec": {"hosts": ["link-service"], "http": [{"route": [{"destination": {"host": "link-service"}}]}]},
}
INGRESS = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "ingress", "namespace": "edge"},
    "spec": {"hosts": ["*"], "gateways": ["ingress"]},
}
SUMMARY = {
    "trace_id": "4bf9", "service": "web.default", "operation": "GET /abc", "start_unix_ns": 1_000_000_000,
    "duration_ms": 10, "n_spans": 4, "n_errors": 1, "status_code": 503, "services": ["web.default", "auth"],
}  # fmt: skip


def proxy(instance: str, **fields: Any) -> ProxyStatus:
    workload = instance.rpartition("-")[0]
    given: dict[str, Any] = {
        "workload": workload, "namespace": "default", "identity": f"spiffe://cluster.local/ns/default/sa/{workload}",
        "connected": True, "in_sync": True, "sync": {"listeners": "SYNCED", "clusters": "SYNCED"},
        "certificate_not_after": (NOW + timedelta(hours=23, minutes=59)).isoformat(), "envoy_state": "live",
        "app_state": "running",
    }  # fmt: skip
    return ProxyStatus(instance=instance, **given | fields)


def test_get_shows_the_columns_that_kubectl_shows_for_the_kind(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    control_plane.answers["/api/resources/vs"] = (200, {"items": [LINK_SERVICE, INGRESS]})
    assert byway("get", "vs", "--server", control_plane.url).out == block("""
        NAMESPACE   NAME           GATEWAYS   HOSTS
        default     link-service   -          link-service
        edge        ingress        ingress    *
    """)


def test_get_as_yaml_can_be_applied_again(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/resources/vs"] = (200, {"items": [LINK_SERVICE, INGRESS]})
    run = byway("get", "vs", "-o", "yaml", "--server", control_plane.url)
    assert list(yaml.safe_load_all(run.out)) == [LINK_SERVICE, INGRESS]


def test_get_of_one_name_prints_one_object(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/resources/vs/link-service"] = (200, {"items": [LINK_SERVICE]})
    run = byway("get", "vs", "link-service", "-n", "default", "-o", "json", "--server", control_plane.url)
    assert json.loads(run.out) == LINK_SERVICE
    assert control_plane.asked[0].query == "namespace=default"


def test_get_of_nothing_says_so(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/resources/vs"] = (200, {"items": []})
    run = byway("get", "vs", "--server", control_plane.url)
    assert (run.code, run.out) == (0, "no vs is there\n")


def test_status_names_what_is_out_of_sync_and_counts_the_rest() -> None:
    proxies = [
        proxy("web-1"),
        proxy(
            "link-service-stable-1", in_sync=False, sync={"clusters": "ERROR", "routes": "STALE"}, last_error="refused"
        ),
        proxy("auth-1", connected=False, n_envoy_restarts=2, certificate_not_after=""),
    ]
    assert status_table(proxies, NOW) == block("""
        PROXY                           WORKLOAD              IDENTITY                                          CERTIFICATE   CONFIG                         ENVOY   APPLICATION   RESTARTS   LAST ERROR
        auth-1.default                  auth                  cluster.local/ns/default/sa/auth                  -             DISCONNECTED                   live    running       2          -
        link-service-stable-1.default   link-service-stable   cluster.local/ns/default/sa/link-service-stable   23h59m        ERROR clusters, STALE routes   live    running       0          refused
        web-1.default                   web                   cluster.local/ns/default/sa/web                   23h59m        SYNCED                         live    running       0          -

        1/3 proxies in sync
    """).rstrip("\n")  # noqa: E501 a table is as wide as it is


def test_status_does_not_call_disconnected_what_may_be_at_another_control_plane() -> None:
    table = status_table([proxy("web-1"), proxy("auth-1", connected=False, may_be_elsewhere=True)], NOW)
    assert [line.split()[4] for line in table.splitlines()[1:3]] == ["NOT", "SYNCED"]
    assert table.endswith("1/1 proxy in sync; 1 not at this control plane (ask the others)")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(59, "59s"), (3600, "1h"), (86399, "23h59m"), (90061, "1d1h"), (-120, "EXPIRED 2m ago"), (0.4, "0s")],
)
def test_what_remains_of_a_certificate_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert remaining((NOW + timedelta(seconds=seconds)).isoformat(), NOW) == words


def test_status_as_json_holds_only_the_namespace_that_was_asked_for(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    rows = [
        {"instance": i, "workload": i, "namespace": n, "identity": ""} for i, n in (("a", "default"), ("b", "edge"))
    ]
    control_plane.answers["/api/status"] = (200, {"proxies": rows})
    run = byway("status", "-n", "edge", "-o", "json", "--server", control_plane.url)
    assert [row["instance"] for row in json.loads(run.out)] == ["b"]


def test_certs_shows_roots_first(byway: Byway, control_plane: RecordedControlPlane) -> None:
    leaf = {
        "kind": "leaf",
        "identity": "spiffe://cluster.local/ns/default/sa/web",
        "instance": "web-1",
        "n_rotations": 3,
    }
    root = {"kind": "root", "identity": "spiffe://cluster.local", "not_after": "2000-01-01T00:00:00Z", "serial": "0a"}
    control_plane.answers["/api/certs"] = (200, {"certificates": [leaf, root]})
    lines = byway("certs", "--server", control_plane.url).out.splitlines()
    assert [line.split()[0] for line in lines] == ["TYPE", "ROOT", "LEAF"]
    assert "EXPIRED" in lines[1]


EDGE = {
    "source": {"namespace": "default", "name": "web"},
    "destination": {"namespace": "default", "name": "link-service"},
    "workloads": [{"namespace": "default", "name": f"link-service-{v}"} for v in ("canary", "stable")],
    "protocol": "http", "security": "mutual_tls", "reporters": ["destination", "source"], "requests_per_s": 19.96,
    "error_rate": 0.0125, "p50_ms": 3.2, "p99_ms": None, "n_requests": 1200, "n_failures": 15, "idle_s": 0.4,
}  # fmt: skip


def test_graph_shows_every_edge_with_its_rates(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/graph"] = (200, {"window_s": 60, "edges": [EDGE]})
    assert byway("graph", "--server", control_plane.url).out == block("""
        SOURCE        DESTINATION            WORKLOADS                                 PROTOCOL   SECURED   RPS    ERRORS   P50      P99
        web.default   link-service.default   link-service-canary,link-service-stable   http       √         20.0   1.25 %   3.2 ms   -
    """)  # noqa: E501 a table is as wide as it is


def test_graph_as_json_is_the_control_planes_graph(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/graph"] = (200, {"window_s": 60.0, "edges": [EDGE]})
    run = byway("graph", "-o", "json", "--window", "5m", "--server", control_plane.url)
    assert json.loads(run.out) == {"window_s": 60.0, "edges": [EDGE]}
    assert control_plane.asked[0].query == "window=300.0"


def test_top_shows_the_busiest_first_and_only_what_was_asked_for(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    quiet = {
        "kind": "service", "namespace": "default", "name": "billing", "requests_per_s": 0.0, "success_rate": None,
        "p50_ms": None, "p95_ms": None, "p99_ms": None, "n_requests": 0,
    }  # fmt: skip
    busy = quiet | {"name": "web", "requests_per_s": 20, "success_rate": 1, "p50_ms": 2, "p95_ms": 12.4, "p99_ms": 1250}
    control_plane.answers["/api/top"] = (200, {"window_s": 60, "signals": [quiet, busy, busy | {"kind": "workload"}]})
    assert byway("top", "--server", control_plane.url).out == block("""
        NAMESPACE   NAME      RPS    SUCCESS   P50      P95     P99
        default     web       20.0   100 %     2.0 ms   12 ms   1.25 s
        default     billing   0.0    -         -        -       -
    """)


def span(service: str, kind: str, offset_ms: float, *children: dict[str, Any]) -> dict[str, Any]:
    own = {
        "trace_id": "4bf9", "span_id": service + kind, "service": service, "operation": "GET /abc", "kind": kind,
        "start_unix_ns": 0, "duration_ms": 10 - offset_ms, "status_code": 200,
    }  # fmt: skip
    return {"span": own, "offset_ms": offset_ms, "children": list(children)}


def test_a_trace_is_a_tree_of_its_hops(byway: Byway, control_plane: RecordedControlPlane) -> None:
    called = [
        span("link-service.default", "client", 1, span("link-service.default", "server", 2)),
        span("auth", "other", 4),
    ]
    content = {
        "trace_id": "4bf9", "start_unix_ns": 0, "duration_ms": 10, "n_spans": 4, "n_errors": 0,
        "services": ["auth", "link-service.default", "web.default"], "roots": [span("web.default", "server", 0, *called)],
    }  # fmt: skip
    control_plane.answers["/api/traces/4bf9"] = (200, content)
    assert byway("traces", "4bf9", "--server", control_plane.url).out == block("""
        trace 4bf9: 4 spans, 3 services, 10 ms

        HOP                          OPERATION   OFFSET    DURATION   STATUS
        ● web.default                GET /abc    +0.0 ms   10 ms      200
        ├─→ link-service.default     GET /abc    +1.0 ms   9.0 ms     200
        │ └─● link-service.default   GET /abc    +2.0 ms   8.0 ms     200
        └─· auth                     GET /abc    +4.0 ms   6.0 ms     200
    """)


def test_traces_lists_the_latest(byway: Byway, control_plane: RecordedControlPlane) -> None:
    control_plane.answers["/api/traces"] = (200, {"traces": [SUMMARY]})
    run = byway("traces", "--service", "web", "--limit", "5", "--server", control_plane.url)
    assert run.out == block("""
        TRACE   START          DURATION   SERVICE       OPERATION   STATUS   SPANS   ERRORS   SERVICES
        4bf9    00:00:01.000   10 ms      web.default   GET /abc    503      4       1        2
    """)
    assert control_plane.asked[0].query == "service=web&limit=5"


def envoy(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.config.{kind}", **fields}


def test_clusters_are_split_into_service_port_and_subset(byway: Byway, control_plane: RecordedControlPlane) -> None:
    name = "outbound|8080|stable|link-service.default.svc.cluster.local"
    held = [{"cluster": envoy("cluster.v3.Cluster", name=n, type="EDS")} for n in ("byway-agent", name)]
    content = {"configs": [{"dynamic_active_clusters": held}]}
    control_plane.answers["/api/proxy-config/web/clusters"] = (200, {"config": content})
    assert byway("proxy-config", "web", "clusters", "--server", control_plane.url).out == block("""
        SERVICE FQDN                             PORT   SUBSET   DIRECTION   TYPE
        byway-agent                              -      -        -           EDS
        link-service.default.svc.cluster.local   8080   stable   outbound    EDS
    """)


def test_routes_show_what_matches_and_where_it_goes(byway: Byway, control_plane: RecordedControlPlane) -> None:
    split = {"weighted_clusters": {"clusters": [{"name": "stable", "weight": 95}, {"name": "canary", "weight": 5}]}}
    routes = [
        {"match": {"prefix": "/", "headers": [{"name": "x-beta-user"}]}, "route": {"cluster": "canary"}},
        {"match": {"safe_regex": {"regex": "/v[0-9]"}}, "direct_response": {"status": 404}},
        {"match": {"prefix": "/"}, "route": split},
    ]
    host = envoy("route.v3.VirtualHost", name="out/link-service:8080", domains=["link-service", "x"], routes=routes)
    control_plane.answers["/api/proxy-config/web/routes"] = (200, {"config": {"configs": [host]}})
    assert byway("proxy-config", "web", "routes", "--server", control_plane.url).out == block("""
        NAME        VHOST NAME              DOMAINS                 MATCH              DESTINATION
        on demand   out/link-service:8080   link-service + 1 more   /* [x-beta-user]   canary
        on demand   out/link-service:8080   link-service + 1 more   ~/v[0-9]           HTTP 404
        on demand   out/link-service:8080   link-service + 1 more   /*                 95:stable, 5:canary
    """)


def test_listeners_show_one_line_a_filter_chain(byway: Byway, control_plane: RecordedControlPlane) -> None:
    match = {"prefix_ranges": [{"address_prefix": "240.240.0.0", "prefix_len": 16}]}
    listener = envoy(
        "listener.v3.Listener",
        name="outbound",
        address={"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
        filter_chains=[
            {"filter_chain_match": match, "filters": [{"name": "envoy.filters.network.http_connection_manager"}]}
        ],
        default_filter_chain={"name": "passthrough", "filters": [{"name": "envoy.filters.network.tcp_proxy"}]},
    )
    control_plane.answers["/api/proxy-config/web/listeners"] = (200, {"config": [listener]})
    assert byway("proxy-config", "web", "listeners", "--server", control_plane.url).out == block("""
        LISTENER   ADDRESS         MATCH                          FILTERS
        outbound   0.0.0.0:15001   prefix_ranges=240.240.0.0/16   http_connection_manager
        outbound   0.0.0.0:15001   passthrough                    tcp_proxy
    """)


def test_endpoints_show_ejected_hosts(byway: Byway, control_plane: RecordedControlPlane) -> None:
    host = {
        "address": {"socket_address": {"address": "10.77.0.5", "port_value": 8080}},
        "health_status": {"eds_health_status": "HEALTHY", "failed_outlier_check": True},
    }
    content = {"cluster_statuses": [{"name": "outbound|8080||auth", "host_statuses": [host]}]}
    control_plane.answers["/api/proxy-config/web/endpoints"] = (200, {"config": content})
    assert byway("proxy-config", "web", "endpoints", "--server", control_plane.url).out == block("""
        ENDPOINT         STATUS    OUTLIER CHECK   CLUSTER
        10.77.0.5:8080   HEALTHY   FAILED          outbound|8080||auth
    """)


def test_proxy_config_of_an_unknown_section_is_wrong_usage(byway: Byway) -> None:
    run = byway("proxy-config", "web", "vhosts")
    assert run.code == 2
    assert "`vhosts` is not among listeners, routes, clusters, endpoints, secrets, bootstrap" in run.err


def test_debug_engine_puts_the_most_expensive_query_first(byway: Byway, control_plane: RecordedControlPlane) -> None:
    """Any column can decide the order."""

    def query(name: str, seconds: float, n_held: int) -> dict[str, Any]:
        return {
            "query": name, "n_held": n_held, "n_computed": 5, "n_reused": 7, "n_cut_off": 1, "seconds": seconds,
            "slowest_s": 0.002, "slowest": f"{name}('a')",
        }  # fmt: skip

    report = {"revision": 3, "n_roots": 1, "queries": [query("service", 0.25, 9), query("endpoints", 1.5, 2)]}
    control_plane.answers["/api/debug/engine"] = (200, report)
    assert byway("debug", "engine", "--server", control_plane.url).out == block("""
        revision 3; 11 results held for 1 roots; 10 computed, 14 reused, 2 cut off

        QUERY       HELD   COMPUTED   REUSED   CUT OFF   SECONDS   SLOWEST MS   SLOWEST CALL
        endpoints   2      5          7        1         1.500     2.0          endpoints('a')
        service     9      5          7        1         0.250     2.0          service('a')
    """)
    run = byway("debug", "engine", "--sort", "held", "--server", control_plane.url)
    assert run.out.index("service(") < run.out.index("endpoints(")


def test_an_empty_status_tells_an_empty_mesh_from_an_empty_namespace(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    control_plane.answers["/api/status"] = (200, {"proxies": []})
    assert byway("status", "-n", "no", "--server", control_plane.url).out == "no proxy has joined the mesh yet\n"
    control_plane.answers["/api/status"] = (200, {"proxies": [msgspec.to_builtins(proxy("web-1"))]})
    assert byway("status", "-n", "no", "--server", control_plane.url).out == "no proxy is in namespace no\n"


def test_without_traces_the_answer_is_the_resource_that_brings_them(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    control_plane.answers["/api/traces"] = (200, {"traces": []})
    said = byway("traces", "--server", control_plane.url).out
    found = documents(said.partition("\n\n")[2], "said.yaml").value
    resources = [decode(document).value for document in found]
    assert [str(resource.id) for resource in resources if resource is not None] == ["MeshConfig default"]


def test_a_service_that_took_part_in_no_trace_is_told_from_a_mesh_without_traces(
    byway: Byway, control_plane: RecordedControlPlane
) -> None:
    control_plane.answers["/api/traces?service=nosuch&limit=20"] = (200, {"traces": []})
    control_plane.answers["/api/traces?limit=1"] = (200, {"traces": [SUMMARY]})
    said = byway("traces", "--service", "nosuch", "--server", control_plane.url).out
    assert said.startswith("none of the recent traces has a part of nosuch")
