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
