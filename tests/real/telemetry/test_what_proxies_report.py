"""What two real Envoys report about the requests between them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from byway.telemetry import wire
from byway.telemetry.exposition import exposition
from byway.telemetry.graph import Node
from byway.telemetry.sender import SenderRefusedError
from tests.real.telemetry.sidecars import WEB

REQUESTS = "istio_requests_total"
BOTH = {
    "source_workload": "web",
    "source_workload_namespace": "default",
    "source_app": "web",
    "source_version": "v1",
    "source_canonical_service": "web",
    "source_canonical_revision": "v1",
    "source_principal": "spiffe://cluster.local/ns/default/sa/web",
    "destination_workload": "links-stable",
    "destination_workload_namespace": "default",
    "destination_app": "links",
    "destination_version": "stable",
    "destination_canonical_service": "links",
    "destination_canonical_revision": "stable",
    "destination_principal": "spiffe://cluster.local/ns/default/sa/links",
    "destination_service": "links.default.svc.cluster.local",
    "destination_service_name": "links",
    "destination_service_namespace": "default",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
}


async def test_both_ends_count_a_request_under_istios_labels(pair: Any, client: Any) -> None:
    """Source and destination agree on every label but the two that Istio has them differ in."""
    async with client():
        assert await pair.call("/a") == 200
        await pair.reports.until(lambda: pair.total(REQUESTS) == 2)
    assert pair.total(REQUESTS, reporter="source", connection_security_policy="unknown", **BOTH) == 1
    assert pair.total(REQUESTS, reporter="destination", connection_security_policy="mutual_tls", **BOTH) == 1
    text = "".join(exposition(pair.observatory.aggregate))
    assert 'istio_request_duration_milliseconds_bucket{reporter="source",source_workload="web"' in text


async def test_sizes_are_measured_at_the_server_and_shown_for_both(pair: Any, client: Any) -> None:
    """The caller's sidecar does not spend time on them."""
    async with client():
        assert await pair.call("/a") == 200
        await pair.reports.until(lambda: len(sizes(pair)) == 2)
    (one, size), (other, same_size) = sizes(pair)
    assert {one, other} == {"source", "destination"}
    assert size == same_size == pytest.approx(2, rel=0.1)  # Envoy's histograms keep two digits


def sizes(pair: Any) -> list[tuple[str, float]]:
    return [
        (dict(histogram.labels)["reporter"], histogram.total)
        for histogram in pair.observatory.aggregate.histograms()
        if histogram.name == "istio_response_bytes" and dict(histogram.labels)["source_workload"] == "web"
    ]


async def test_a_request_that_reaches_no_server_is_counted_with_its_service(pair: Any, client: Any) -> None:
    """No healthy endpoint: flag UH, the service known, the workload unknown."""
    async with client():
        assert await pair.call("/nowhere") == 503
        await pair.reports.until(lambda: pair.total(REQUESTS) == 1)
    expected = {"response_flags": "UH", "destination_service_name": "links", "destination_workload": "unknown"}
    assert (
        pair.total(REQUESTS, reporter="source", response_code="503", destination_principal="unknown", **expected) == 1
    )


async def test_a_forged_source_is_neither_believed_nor_passed_on(pair: Any, client: Any) -> None:
    """The client's sidecar writes over the header; in plain text nobody is believed, and the header is taken off."""
    async with client(), pair.request() as plain:
        assert await pair.call("/forged", **{"x-byway-source": "forged"}) == 200
        answer = await plain.get(f"http://127.0.0.1:{pair.ports.plain}/plain", headers={"x-byway-source": "forged"})
        assert answer.status_code == 200
        await pair.reports.until(lambda: pair.total(REQUESTS) == 3)
    said = {request[":path"]: request.get("x-byway-source") for request in pair.seen}
    assert said == {"/forged": WEB.text, "/plain": None}
    assert pair.total(REQUESTS, reporter="destination", source_workload="web") == 1
    unknown = {"source_workload": "unknown", "source_principal": "unknown", "source_app": "unknown"}
    assert pair.total(REQUESTS, reporter="destination", connection_security_policy="none", **unknown) == 1


async def test_a_stranger_cannot_name_itself_by_a_request_that_envoy_refuses(pair: Any) -> None:
    """Such a request passes no filter, and is counted all the same."""
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.ports.plain)
    forged = b"forged,kube-system,admin,v9,c,v9" + 50_000 * b"x"
    writer.write(b"GET / HTTP/1.1\r\nx-byway-source: " + forged + b"\r\n\r\n")  # without a host
    assert b" 400 " in await reader.readline()
    writer.close()
    await pair.reports.until(lambda: pair.total(REQUESTS) == 1)
    assert pair.total(REQUESTS, response_code="400", source_workload="unknown", source_app="unknown") == 1
    assert max(map(len, pair.reports.metrics)) < 200_000


async def test_grpc_calls_carry_their_status(pair: Any, client: Any) -> None:
    """The protocol is told by the content type, and only gRPC has a gRPC status."""
    async with client():
        assert await pair.call("/grpc", **{"content-type": "application/grpc"}) == 200
        await pair.reports.until(lambda: pair.total(REQUESTS) == 2)
    assert pair.total(REQUESTS, request_protocol="grpc", grpc_response_status="2") == 2


async def test_tcp_connections_and_bytes_are_counted(pair: Any, client: Any) -> None:
    """Opened when connected, closed and measured at the end."""
    async with client():
        async with pair.request() as through_tcp:
            assert (await through_tcp.get(f"http://127.0.0.1:{pair.ports.tcp}/tcp")).status_code == 200
            await pair.reports.until(lambda: pair.total("istio_tcp_connections_opened_total") == 1)
            assert pair.total("istio_tcp_connections_closed_total") == 0
        await pair.reports.until(lambda: pair.total("istio_tcp_connections_closed_total") == 1)
    assert pair.total("istio_tcp_sent_bytes_total", destination_workload="links-stable", request_protocol="tcp") == 40
    assert pair.total("istio_tcp_received_bytes_total") > 40


async def test_totals_outlive_an_envoy(pair: Any, client: Any) -> None:
    """A killed and restarted Envoy starts from zero, the sum does not."""
    for n_called in (1, 2):
        async with client():
            assert await pair.call("/again") == 200
            await pair.reports.until(lambda n=n_called: pair.total(REQUESTS, reporter="source") == n)
    assert pair.observatory.aggregate.n_sources == 3


async def test_envoy_sends_totals_of_counters_and_intervals_of_histograms(pair: Any, client: Any) -> None:
    """What the aggregation relies on: later reports repeat a counter's total, but not a histogram's samples."""
    async with client():
        assert await pair.call("/once") == 200
        await pair.reports.until(lambda: pair.total(REQUESTS) == 2)
        n_seen = len(pair.reports.metrics)
        await pair.reports.until(lambda: len(pair.reports.metrics) >= n_seen + 4)
    later = [wire.Metrics.FromString(raw) for raw in pair.reports.metrics[n_seen:]]
    families = [family for message in later for family in message.families]
    assert {f.metrics[0].counter.value for f in families if f.type == wire.COUNTER} == {1.0}
    assert {f.metrics[0].histogram.sample_count for f in families if f.type == wire.HISTOGRAM} == {0}
    durations = [h for h in pair.observatory.aggregate.histograms() if h.name.endswith("milliseconds")]
    assert [histogram.count for histogram in durations] == [1, 1]
    assert durations[0].bounds[:4] == (0.5, 1.0, 5.0, 10.0)


async def test_one_request_through_four_proxies_is_one_tree(pair: Any, client: Any) -> None:
    """The application passes `traceparent` on; each proxy adds one span below the one before."""
    async with client():
        assert await pair.call("/hop") == 200
        traces = pair.observatory.traces
        await pair.reports.until(lambda: any(found.n_spans == 4 for found in traces.search()))
    (found,) = traces.search()
    assert found.services == ("links.default", "web.default")
    trace = traces.trace(found.trace_id)
    path, nodes = [], trace.roots
    while nodes:
        (node,) = nodes
        path.append((node.span.service, node.span.kind, node.span.operation, node.span.identity.rpartition("/")[2]))
        nodes = node.children
    assert path == [
        ("web.default", "client", "GET /hop", "web"),
        ("links.default", "server", "GET /hop", "links"),
        ("web.default", "client", "GET /leaf", "web"),
        ("links.default", "server", "GET /leaf", "links"),
    ]


async def test_the_graph_shows_one_encrypted_edge(pair: Any, client: Any) -> None:
    """Both ends report the same call; the graph counts it once."""
    async with client():
        await pair.reports.until(lambda: len(pair.reports.metrics) >= 2)  # from now on counts are recent
        for path in ("/a", "/b", "/broken"):
            await pair.call(path)
        await pair.reports.until(lambda: pair.total(REQUESTS) == 6)
    (edge,) = pair.observatory.graph().edges
    assert (edge.source, edge.destination) == (Node("default", "web"), Node("default", "links"))
    assert edge.workloads == (Node("default", "links-stable"),)
    assert (edge.n_requests, edge.n_failures, edge.security) == (3, 1, "mutual_tls")
    assert edge.p99_ms is not None


async def test_the_access_log_is_istios_text(pair: Any, client: Any) -> None:
    """One line a request, Istio's fields in Istio's order."""
    async with client():
        await pair.call("/logged", **{"user-agent": "test"})
    line = (pair.directory / "access.log").read_text()
    links = rf"127.0.0.1:{pair.ports.inbound}"
    assert re.fullmatch(
        rf'\[\S+Z\] "GET /logged HTTP/1.1" 200 - via_upstream - "-" 0 2 \d+ \d+ "-" "test" "\S+" '
        rf'"127.0.0.1:{pair.ports.outbound}" "{links}" outbound 127.0.0.1:\d+ 127.0.0.1:{pair.ports.outbound} '
        r"127.0.0.1:\d+ - -\n",
        line,
    )


async def test_envoy_calls_no_field_of_the_configuration_deprecated(pair: Any, client: Any) -> None:
    """What it deprecates now, it refuses two releases later."""
    async with client():
        pass
    logs = "".join(path.read_text() for path in pair.directory.glob("*.log"))
    assert "deprecated" not in logs.lower()


async def test_a_stranger_may_not_report(pair: Any, client: Any) -> None:
    """An identity that is not the node's own is refused, and nothing of it is counted."""
    async with client():
        await pair.reports.until(lambda: pair.observatory.ingest.n_messages > 2)
    message = wire.Metrics.FromString(pair.reports.metrics[0])
    with pytest.raises(SenderRefusedError):
        pair.observatory.ingest.stream("spiffe://cluster.local/ns/default/sa/stranger", message)
