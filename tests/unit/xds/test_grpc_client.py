"""What a client of the gRPC library is told, in the fields that it reads."""

from __future__ import annotations

from typing import TypeVar

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from byway.model.names import TYPE_CLUSTER, TYPE_ENDPOINTS, TYPE_LISTENER, TYPE_ROUTE
from byway.testing.mesh import TestMesh, instance, service
from byway.xds.grpc_resources import ClientResource, client_root
from byway.xds.proof import provable

TARGET = "back:8080"
NAME = "outbound|8080||back.default.svc.cluster.local"
M = TypeVar("M", bound=Message)

PLAIN = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: back}
spec:
  selector: {matchLabels: {version: v2}}
  mtls: {mode: DISABLE}
"""


def mesh(http: str = "", *others: str) -> TestMesh:
    """A client, and a service of two instances with the rules `http` of a VirtualService."""
    made = TestMesh()
    made.apply(
        service("back", ports=({"name": "grpc", "port": 8080},)) + instance("back-1", app="back", address="10.0.0.2")
    )
    made.apply(instance("back-2", app="back", address="10.0.0.3", version="v2"))
    made.apply(instance("client-1", app="client", address="10.0.0.9"))
    if http:
        made.apply(f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: back}}
spec: {{hosts: [back], http: {http}}}
""")
    for other in others:
        made.apply(other)
    return made


def asked(found: TestMesh, type_url: str, name: str, message: M) -> M:
    """The resource as the client reads it."""
    root = client_root("default", "client-1", type_url, name)
    assert root is not None
    resource = root.value(found.database)
    assert isinstance(resource, ClientResource)
    assert provable(resource) is None  # no Envoy gets it
    AnyMessage.FromString(resource.any_bytes).Unpack(message)
    return message


def routes(*rules: str) -> list[Route]:
    """The routes that the rules become."""
    (host,) = asked(mesh(f"[{', '.join(rules)}]"), TYPE_ROUTE, TARGET, RouteConfiguration()).virtual_hosts
    return list(host.routes)


def to(subset: str = "", rest: str = "") -> str:
    """A rule that leads to the service."""
    named = f", subset: {subset}" if subset else ""
    return f"{{route: [{{destination: {{host: back{named}}}}}]{rest}}}"


def test_a_listener_says_where_the_routes_are_and_ends_with_the_router() -> None:
    listener = asked(mesh(), TYPE_LISTENER, TARGET, Listener())
    manager = HttpConnectionManager()
    listener.api_listener.api_listener.Unpack(manager)
    assert listener.name == manager.rds.route_config_name == TARGET
    assert manager.http_filters[-1].name == "envoy.filters.http.router"


def test_an_unknown_target_has_no_listener() -> None:
    root = client_root("default", "client-1", TYPE_LISTENER, "nobody:80")
    assert root is not None
    assert root.value(mesh().database) is None


def test_a_route_leads_to_shares_of_clusters() -> None:
    split = "{route: [{destination: {host: back, subset: a}, weight: 95}, {destination: {host: back, subset: b}, weight: 5}]}"
    (route,) = routes(split)
    shares = {s.name.split("|")[2]: s.weight.value for s in route.route.weighted_clusters.clusters}
    assert shares == {"a": 95, "b": 5}


def test_only_the_retry_conditions_that_the_library_knows_are_told() -> None:
    (route,) = routes(to(rest=', retries: {attempts: 3, retryOn: "unavailable,5xx,internal,reset"}'))
    assert route.route.retry_policy.retry_on == "unavailable,internal"
    assert route.route.retry_policy.num_retries.value == 3
    (route,) = routes(to(rest=", retries: {attempts: 3, retryOn: 5xx}"))
    assert not route.route.HasField("retry_policy")


def test_a_timeout_bounds_the_whole_call() -> None:
    (route,) = routes(to(rest=", timeout: 2s"))
    assert route.route.max_stream_duration.max_stream_duration.ToSeconds() == 2
    assert not route.route.HasField("timeout")


def test_faults_are_injected_by_the_library() -> None:
    (route,) = routes(to(rest=", fault: {abort: {httpStatus: 503, percentage: {value: 10}}}"))
    assert list(route.typed_per_filter_config) == ["envoy.filters.http.fault"]


def test_rules_for_other_methods_and_authorities_are_not_told() -> None:
    kept = routes(to("a", ', match: [{method: {exact: POST}, authority: {regex: "back:.*"}}]'), to("b"))
    assert [r.route.cluster.split("|")[2] for r in kept] == ["a", "b"]
    assert [len(r.match.headers) for r in kept] == [0, 0]
    for condition in ("method: {exact: GET}", "authority: {prefix: front}", "queryParams: {q: {exact: x}}"):
        (left,) = routes(to("a", f", match: [{{{condition}}}]"), to("b"))
        assert left.route.cluster.split("|")[2] == "b"


def test_a_header_that_must_not_have_a_value_may_be_missing() -> None:
    """The library lets no comparison hold for a header that is not there."""
    found = routes(to("a", ', match: [{withoutHeaders: {x-old: {exact: "yes"}}}]'))
    conditions = [[(h.present_match, h.invert_match, h.string_match.exact) for h in r.match.headers] for r in found]
    assert conditions == [[(False, True, "yes")], [(True, True, "")]]
    assert not any(h.treat_missing_header_as_empty for r in found for h in r.match.headers)


def test_rewrites_and_header_changes_are_not_told() -> None:
    (route,) = routes(to(rest=", rewrite: {uri: /x}, headers: {request: {set: {a: b}}}"))
    assert not route.route.prefix_rewrite
    assert not route.route.HasField("regex_rewrite")
    assert not route.request_headers_to_add


def tls(found: TestMesh) -> UpstreamTlsContext:
    """How the client speaks to the service."""
    context = UpstreamTlsContext()
    asked(found, TYPE_CLUSTER, NAME, Cluster()).transport_socket.typed_config.Unpack(context)
    return context


def test_a_cluster_is_spoken_to_by_mutual_tls_and_its_servers_are_known() -> None:
    common = tls(mesh()).common_tls_context
    assert common.tls_certificate_provider_instance.instance_name == "default"
    validation = common.validation_context
    assert validation.ca_certificate_provider_instance.instance_name == "default"
    assert [m.exact for m in validation.match_subject_alt_names] == ["spiffe://cluster.local/ns/default/sa/back"]


def addresses(found: TestMesh) -> list[str]:
    """Who is called."""
    assignment = asked(found, TYPE_ENDPOINTS, NAME, ClusterLoadAssignment())
    return [e.endpoint.address.socket_address.address for part in assignment.endpoints for e in part.lb_endpoints]


def test_the_locality_has_a_name_and_a_weight() -> None:
    """Without either the library calls nobody there."""
    (part,) = asked(mesh(), TYPE_ENDPOINTS, NAME, ClusterLoadAssignment()).endpoints
    assert part.locality.region
    assert part.load_balancing_weight.value == 1


def test_of_instances_at_one_address_the_first_is_told() -> None:
    first = instance("back-0", app="back", address="10.0.0.2")
    spelled = (instance(f"back-{n}", app="back", address=a) for n, a in ((3, "2001:db8::1"), (4, "2001:0db8:0::1")))
    found = mesh("", first, *spelled)
    (locality,) = asked(found, TYPE_ENDPOINTS, NAME, ClusterLoadAssignment()).endpoints
    told = sorted(e.endpoint.address.socket_address.address for e in locality.lb_endpoints)
    assert told[:2] == ["10.0.0.2", "10.0.0.3"]
    assert told[2:] in (["2001:db8::1"], ["2001:0db8:0::1"])


def test_who_takes_no_mutual_tls_is_left_out_where_others_do() -> None:
    found = mesh("", PLAIN)
    assert asked(found, TYPE_CLUSTER, NAME, Cluster()).HasField("transport_socket")
    assert addresses(found) == ["10.0.0.2"]


def test_where_nobody_takes_mutual_tls_all_are_called_in_plain_text() -> None:
    found = mesh("", PLAIN.replace("  selector: {matchLabels: {version: v2}}\n", ""))
    assert not asked(found, TYPE_CLUSTER, NAME, Cluster()).HasField("transport_socket")
    assert addresses(found) == ["10.0.0.2", "10.0.0.3"]


def test_a_change_of_routes_leaves_the_listener_and_clusters_alone() -> None:
    found = mesh(f"[{to('a')}]")
    listener, cluster = (
        asked(found, t, n, m) for t, n, m in ((TYPE_LISTENER, TARGET, Listener()), (TYPE_CLUSTER, NAME, Cluster()))
    )
    found.apply(f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: back}}
spec: {{hosts: [back], http: [{to("b")}]}}
""")
    found.computed()
    assert asked(found, TYPE_LISTENER, TARGET, Listener()) == listener
    assert asked(found, TYPE_CLUSTER, NAME, Cluster()) == cluster
    assert not [name for name in found.computed() if "cluster" in name]
