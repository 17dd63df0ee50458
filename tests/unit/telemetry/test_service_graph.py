"""Edges and golden signals from what both ends report."""

from __future__ import annotations

import msgspec
import pytest

from byway.telemetry.flow import SLOT_S, UNKNOWN, Flow, Traffic, Windows, is_failure
from byway.telemetry.golden import golden_signals
from byway.telemetry.graph import Node, graph

BOUNDS = (1.0, 5.0, 10.0)
CALL = Flow(
    reporter="source",
    source_workload="web",
    source_namespace="default",
    source_principal="spiffe://cluster.local/ns/default/sa/web",
    destination_service="links",
    destination_service_namespace="default",
    destination_workload="links-stable",
    destination_namespace="default",
    destination_version="stable",
    protocol="http",
    security=UNKNOWN,
)
SERVED = msgspec.structs.replace(CALL, reporter="destination", security="mutual_tls")
CANARY = msgspec.structs.replace(CALL, destination_workload="links-canary", destination_version="canary")


@pytest.fixture
def windows() -> Windows:
    return Windows(0.0)


def test_a_call_that_both_ends_report_is_counted_once(windows: Windows) -> None:
    """The client's numbers count, the server adds how the connection was secured."""
    for flow in (CALL, SERVED):
        windows.requests(100.0, flow, 60, has_failed=False, is_recent=True)
    (edge,) = graph(windows, 100.0, 60.0).edges
    assert (edge.n_requests, edge.requests_per_s, edge.security) == (60, 1.0, "mutual_tls")
    assert edge.reporters == ("destination", "source")


def test_an_edge_is_known_when_only_the_server_sees_it(windows: Windows) -> None:
    """A client outside the mesh reports nothing."""
    outside = msgspec.structs.replace(SERVED, source_workload=UNKNOWN, source_namespace=UNKNOWN, security="none")
    windows.requests(100.0, outside, 6, has_failed=True, is_recent=True)
    (edge,) = graph(windows, 100.0, 60.0).edges
    assert (edge.source.name, edge.security, edge.error_rate) == (UNKNOWN, "none", 1.0)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"destination_principal": "spiffe://cluster.local/ns/default/sa/links"}, "mutual_tls"),
        ({"destination_principal": UNKNOWN}, "none"),
        ({"destination_principal": UNKNOWN, "response_flags": "UF"}, UNKNOWN),
        ({"destination_principal": UNKNOWN, "destination_workload": UNKNOWN}, UNKNOWN),
        ({"reporter": "destination", "connection_security_policy": "none"}, "none"),
    ],
)
def test_the_source_knows_by_the_servers_principal_how_a_call_went(labels: dict[str, str], expected: str) -> None:
    """Its policy is "unknown", as Istio's; where no server answered there is nothing to know."""
    usual = {
        "reporter": "source",
        "destination_workload": "links-stable",
        "response_flags": "-",
        "connection_security_policy": UNKNOWN,
    }
    assert Flow.of(tuple((usual | labels).items())).security == expected


MTLS = msgspec.structs.replace(CALL, security="mutual_tls")
PLAIN = msgspec.structs.replace(CALL, security="none")
NAMELESS = msgspec.structs.replace(
    SERVED, source_workload=UNKNOWN, source_namespace=UNKNOWN, source_principal=UNKNOWN, security="none"
)


def test_security_is_that_of_the_windows_calls(windows: Windows) -> None:
    """What went encrypted before says nothing of the plain calls of now, and without any the last ones count."""
    windows.requests(100.0, MTLS, 60, has_failed=False, is_recent=True)
    windows.requests(100.0, SERVED, 60, has_failed=False, is_recent=True)
    windows.requests(200.0, PLAIN, 6, has_failed=False, is_recent=True)
    for now_s, window_s, security in (
        (203.0, 5.0, "none"),
        (203.0, 300.0, "mutual_tls,none"),
        (400.0, 5.0, "none"),
    ):
        (edge,) = graph(windows, now_s, window_s).edges
        assert edge.security == security, now_s
    windows.requests(410.0, MTLS, 1, has_failed=False, is_recent=True)
    (edge,) = graph(windows, 410.0, 5.0).edges
    assert edge.security == "mutual_tls"


@pytest.mark.parametrize("flush_s", [0.0, 2.0])
def test_a_plain_call_that_the_client_reports_makes_one_edge(windows: Windows, flush_s: float) -> None:
    """The server's report of it names no source; it may come a flush before the client's, or after."""
    windows.requests(90.0, PLAIN, 1, has_failed=False, is_recent=False)
    for second in range(100, 140):
        windows.requests(second, NAMELESS, 20, has_failed=False, is_recent=True)
        if second >= 100 + flush_s:
            windows.requests(second, PLAIN, 20, has_failed=False, is_recent=True)
        for window_s in (5.0, 60.0):
            (edge,) = graph(windows, second, window_s).edges
            assert edge.source.name == "web"
    assert edge.security == "none"


def test_a_stranger_beside_the_meshs_own_plain_calls_is_an_edge(windows: Windows) -> None:
    """What no client's sidecar accounts for stays."""
    windows.requests(100.0, PLAIN, 20, has_failed=False, is_recent=True)
    windows.requests(100.0, NAMELESS, 50, has_failed=False, is_recent=True)
    own, stranger = graph(windows, 112.0, 60.0).edges
    assert (own.source.name, own.n_requests) == ("web", 20)
    assert (stranger.source.name, stranger.n_requests, stranger.requests_per_s) == (UNKNOWN, 30, 0.5)


def test_repeated_attempts_are_no_stranger(windows: Windows) -> None:
    """One call that the client's sidecar tries three times is three at the server, two of them failed."""
    windows.requests(100.0, PLAIN, 10, has_failed=False, is_recent=True)
    windows.requests(100.0, NAMELESS, 20, has_failed=True, is_recent=True)
    windows.requests(100.0, NAMELESS, 10, has_failed=False, is_recent=True)
    assert [edge.source.name for edge in graph(windows, 112.0, 60.0).edges] == ["web"]


def test_a_stranger_among_encrypted_calls_is_an_edge(windows: Windows) -> None:
    """PERMISSIVE: the mesh's own calls are encrypted and account for none of the plain ones."""
    windows.requests(100.0, MTLS, 500, has_failed=False, is_recent=True)
    windows.requests(100.0, NAMELESS, 6, has_failed=True, is_recent=True)
    _, stranger = graph(windows, 112.0, 60.0).edges
    assert (stranger.n_requests, stranger.error_rate, stranger.security) == (6, 1.0, "none")


def test_an_edge_from_unknown_vanishes_without_traffic(windows: Windows) -> None:
    """Whoever it was, nobody can be asked any more."""
    windows.requests(100.0, NAMELESS, 6, has_failed=False, is_recent=True)
    assert len(graph(windows, 101.0, 60.0).edges) == 1
    assert not graph(windows, 170.0, 60.0).edges


def test_versions_of_a_service_are_one_edge_with_two_workloads(windows: Windows) -> None:
    """The edge goes to the service; who answered stands beside it."""
    windows.requests(100.0, CALL, 95, has_failed=False, is_recent=True)
    windows.requests(100.0, CANARY, 5, has_failed=True, is_recent=True)
    (edge,) = graph(windows, 100.0, 60.0).edges
    assert edge.destination == Node("default", "links")
    assert [node.name for node in edge.workloads] == ["links-canary", "links-stable"]
    assert (edge.n_requests, edge.error_rate) == (100, 0.05)


def test_an_idle_edge_stays_known_with_rate_zero(windows: Windows) -> None:
    """The graph does not forget who calls whom between two calls."""
    windows.requests(100.0, CALL, 5, has_failed=False, is_recent=True)
    (edge,) = graph(windows, 400.0, 60.0).edges
    assert (edge.n_requests, edge.requests_per_s, edge.idle_s, edge.p50_ms) == (5, 0.0, 300.0, None)


def test_a_rate_divides_by_the_time_that_was_watched() -> None:
    """Ten seconds after the start, ten requests are one a second, not a sixth."""
    windows = Windows(100.0)
    windows.requests(110.0, CALL, 10, has_failed=False, is_recent=True)
    (edge,) = graph(windows, 110.0, 60.0).edges
    assert edge.requests_per_s == 1.0


def test_only_the_window_that_was_asked_for_counts(windows: Windows) -> None:
    """Older slots are left out of rates and percentiles."""
    windows.durations(100.0, CALL, BOUNDS, [0, 0, 100], 100)
    windows.durations(100.0 + 60 + SLOT_S, CALL, BOUNDS, [100, 0, 0], 100)
    (edge,) = graph(windows, 165.0, 60.0).edges
    assert edge.p99_ms == pytest.approx(0.99)


def test_percentiles_are_interpolated_within_their_bucket() -> None:
    """As Prometheus' histogram_quantile does; what lies above all buckets reads as the largest bound."""
    traffic = Traffic()
    traffic.time(BOUNDS, [50, 40, 5], 100)
    assert traffic.percentile_ms(0.50) == 1.0
    assert traffic.percentile_ms(0.70) == pytest.approx(3.0)
    assert traffic.percentile_ms(0.99) == 10.0
    assert Traffic().percentile_ms(0.5) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"response_code": "200"}, False),
        ({"response_code": "404"}, False),
        ({"response_code": "503", "response_flags": "UO"}, True),
        ({"response_code": "0", "response_flags": "UC"}, True),
        ({"response_code": "0", "response_flags": "DC"}, False),
        ({"response_code": "200", "grpc_response_status": "14"}, True),
        ({"response_code": "200", "grpc_response_status": "5"}, False),
    ],
)
def test_failures_are_the_servers_or_the_networks(labels: dict[str, str], *, expected: bool) -> None:
    """A caller's mistake, and a caller that hangs up, are none."""
    assert is_failure(tuple(labels.items())) is expected


def test_golden_signals_name_workloads_by_themselves_and_services_by_their_clients(windows: Windows) -> None:
    """A service's failures include calls that found no workload; no workload is blamed for them."""
    lost = msgspec.structs.replace(CALL, destination_workload=UNKNOWN, destination_namespace=UNKNOWN)
    for flow in (CALL, SERVED):
        windows.requests(100.0, flow, 60, has_failed=False, is_recent=True)
    windows.requests(100.0, lost, 60, has_failed=True, is_recent=True)
    workload, service = golden_signals(windows, 100.0, 60.0)
    assert (workload.kind, workload.name, workload.success_rate) == ("workload", "links-stable", 1.0)
    assert (service.kind, service.name, service.success_rate) == ("service", "links", 0.5)


def test_flows_are_bounded_and_the_overflow_is_counted() -> None:
    """The graph cannot be made to grow without end."""
    windows = Windows(0.0, flows=1)
    windows.requests(1.0, CALL, 1, has_failed=False, is_recent=True)
    windows.requests(1.0, CANARY, 1, has_failed=False, is_recent=True)
    assert windows.n_flows_refused == 1
    windows.expire(10.0, 5.0)
    assert not list(windows.observed(10.0, 60.0))
