"""Reading the metrics service, from messages that a real Envoy sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from byway.model.report import TAG, Peer
from byway.telemetry import wire
from byway.telemetry.aggregation import SERIES_PER_SOURCE
from byway.telemetry.observatory import Observatory
from byway.telemetry.sender import Sender, SenderRefusedError

RECORDED = Path(__file__).parent / "recorded"
WEB = "spiffe://cluster.local/ns/default/sa/web"


class StoppedClock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def monotonic(self) -> float:
        return self.now_s


def admission(peer: str, node_id: str, metadata: Mapping[str, str]) -> Sender:
    if not peer.endswith(("/web", "/links")):
        raise SenderRefusedError("no such workload")
    return Sender(
        instance=node_id.split("~")[2],
        epoch=metadata["EPOCH"],
        peer=Peer(workload="web", namespace="default", app="web", principal=peer),
    )


@pytest.fixture
def observatory() -> Observatory:
    return Observatory(StoppedClock(), admission)


def first() -> Any:
    return wire.Metrics.FromString((RECORDED / "first_metrics.bin").read_bytes())


def metrics() -> Any:
    return wire.Metrics.FromString((RECORDED / "metrics.bin").read_bytes())


SENT = "source|unknown|200|-||links.default.svc.cluster.local,links,default|links,default,links,,links,latest|"


def family(name: str, kind: int, text: str = SENT) -> Any:
    """A message with one series."""
    message = wire.Metrics()
    made = message.families.add(name=name, type=kind)
    metric = made.metrics.add()
    metric.labels.append(_label(TAG, text))
    return message


def _label(name: str, value: str) -> bytes:
    return bytes(wire.Label(name=name, value=value).SerializeToString())


def test_recorded_series_carry_all_of_istios_labels(observatory: Observatory) -> None:
    """What Envoy leaves empty reads "unknown"."""
    observatory.ingest.stream(WEB, first()).take(metrics())
    counters = [dict(counter.labels) for counter in observatory.aggregate.counters()]
    assert counters
    for labels in counters:
        assert all(labels.values())
        assert {"source_workload", "destination_service", "response_code", "response_flags"} <= labels.keys()


def labels_of(observatory: Observatory, text: str, name: str = "istio.requests_total") -> dict[str, str]:
    """What one report becomes."""
    message = family(name, wire.COUNTER, text)
    message.families[0].metrics[0].counter.value = 3
    observatory.ingest.stream(WEB, first()).take(message)
    (counter,) = observatory.aggregate.counters()
    return dict(counter.labels)


def test_a_proxy_reports_as_itself_only(observatory: Observatory) -> None:
    """Its own side is not even sent: it is what its certificate and admission say."""
    labels = labels_of(observatory, SENT)
    assert (labels["source_workload"], labels["source_app"], labels["source_principal"]) == ("web", "web", WEB)
    assert labels["destination_service_name"] == "links"
    assert labels["destination_principal"] == "unknown"


def test_a_client_is_believed_only_within_its_namespace(observatory: Observatory) -> None:
    """The certificate proves the namespace; a claim to stand in another one is worth nothing."""
    principal = "spiffe://cluster.local/ns/other/sa/thief"
    sent = f"destination|mutual_tls|200|-||h,n,default|{principal}|bank,default,bank,v1,bank,v1"
    labels = labels_of(observatory, sent)
    assert (labels["source_workload"], labels["source_app"]) == ("unknown", "unknown")
    assert labels["source_principal"] == principal


def test_a_client_without_a_certificate_is_nobody(observatory: Observatory) -> None:
    """Whatever name comes with the report."""
    labels = labels_of(observatory, "destination|none|400|DPE||h,n,default||forged,kube-system,admin,v9,c,v9")
    assert {labels[f"source_{name}"] for name in ("workload", "workload_namespace", "app", "version")} == {"unknown"}


def test_a_separator_in_a_claim_shifts_nothing(observatory: Observatory) -> None:
    """What the client says stands last."""
    sent = f"destination|mutual_tls|200|-||h,n,default|{WEB}|x|{WEB[:-3]}bank|a,default,,,,"
    labels = labels_of(observatory, sent)
    assert labels["source_principal"] == WEB
    assert (labels["destination_workload"], labels["destination_service"]) == ("web", "h")


def test_protocols_are_told_apart(observatory: Observatory) -> None:
    """Only gRPC has a status; TCP has no response code."""
    sent = SENT.replace("|200|-||", "|200|-|14|")
    labels = labels_of(observatory, sent)
    assert (labels["request_protocol"], labels["grpc_response_status"]) == ("grpc", "14")


def test_tcp_has_no_response_code(observatory: Observatory) -> None:
    """Whatever Envoy writes in its place."""
    labels = labels_of(observatory, SENT, "istio.tcp_connections_opened_total")
    assert labels["request_protocol"] == "tcp"
    assert "response_code" not in labels


@pytest.mark.parametrize("text", ["", "source", "nobody|unknown|200|-||a,b,c|d|e"])
def test_what_no_sidecar_writes_is_dropped(observatory: Observatory, text: str) -> None:
    """No series is made of it."""
    observatory.ingest.stream(WEB, first()).take(family("istio.requests_total", wire.COUNTER, text))
    assert observatory.aggregate.n_series == 0


def test_a_stranger_is_refused(observatory: Observatory) -> None:
    """As is a stream that does not say which proxy it is."""
    with pytest.raises(SenderRefusedError, match="no such workload"):
        observatory.ingest.stream("spiffe://cluster.local/ns/default/sa/other", first())
    with pytest.raises(SenderRefusedError, match="must name its node"):
        observatory.ingest.stream(WEB, metrics_without_node())


def metrics_without_node() -> Any:
    message = metrics()
    message.ClearField("identifier")
    return message


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300])
def test_no_number_can_spoil_a_total(observatory: Observatory, value: float) -> None:
    """Negative, endless and not-a-number are dropped."""
    message = family("istio.requests_total", wire.COUNTER)
    message.families[0].metrics[0].counter.value = value
    observatory.ingest.stream(WEB, first()).take(message)
    assert [counter.total for counter in observatory.aggregate.counters()] == [0.0]


@pytest.mark.parametrize("cumulative", [[5, 3], list(range(100))])
def test_no_distribution_can_spoil_a_histogram(observatory: Observatory, cumulative: list[int]) -> None:
    """Falling and endless buckets are dropped."""
    message = family("istio.request_bytes", wire.HISTOGRAM)
    histogram = message.families[0].metrics[0].histogram
    histogram.sample_count = 5
    for n in cumulative:
        histogram.buckets.add(cumulative_count=n, upper_bound=n)
    observatory.ingest.stream(WEB, first()).take(message)
    assert not list(observatory.aggregate.histograms())


def test_only_istios_series_are_kept(observatory: Observatory) -> None:
    """Whatever else an Envoy sends, or somebody makes up, is not."""
    stream = observatory.ingest.stream(WEB, first())
    for name in ("cluster.x.upstream_rq_total", "istio.made_up", 'istio.requests_total"} 1\nevil{', "istio."):
        stream.take(family(name, wire.COUNTER))
    assert observatory.aggregate.n_series == 0


def test_a_hundred_thousand_label_values_stay_within_the_bound(observatory: Observatory) -> None:
    """A flood of series by one proxy is cut off and counted (the class of CVE-2025-43915)."""
    stream = observatory.ingest.stream(WEB, first())
    for start in range(0, 100_000, 10_000):
        message = wire.Metrics()
        made = message.families.add(name="istio.requests_total", type=wire.COUNTER)
        for n in range(start, start + 10_000):
            metric = made.metrics.add()
            metric.labels.append(_label(TAG, SENT.replace("links", f"app-{n}")))
            metric.counter.value = 1
        stream.take(message)
    assert observatory.aggregate.n_series == SERIES_PER_SOURCE
    assert observatory.aggregate.n_series_refused == 100_000 - SERIES_PER_SOURCE


def test_the_first_report_of_an_envoy_is_counted_but_is_no_burst(observatory: Observatory) -> None:
    """After a restart of the control plane, old totals must not show as a rate."""
    message = family("istio.requests_total", wire.COUNTER)
    stream = observatory.ingest.stream(WEB, first())
    message.families[0].metrics[0].counter.value = 1000
    stream.take(message)
    (edge,) = observatory.graph().edges
    assert (edge.n_requests, edge.requests_per_s) == (1000, 0.0)
    message.families[0].metrics[0].counter.value = 1010
    stream.take(message)
    (edge,) = observatory.graph().edges
    assert edge.n_requests == 1010
    assert edge.requests_per_s > 0


def uptime(message: Any, seconds: float) -> Any:
    """The same message from an Envoy of that age."""
    family = message.families.add(name="server.uptime", type=wire.GAUGE)
    family.metrics.add().gauge.value = seconds
    return message


def recent(observatory: Observatory) -> tuple[int, float | None]:
    """How many requests the window holds, and their success."""
    (service,) = (s for s in observatory.golden_signals() if s.kind == "service")
    return service.n_requests, service.success_rate


@pytest.mark.parametrize("name", ["istio.requests_total", "istio.tcp_connections_opened_total"])
def test_the_first_report_of_an_envoy_that_has_just_started_is_recent(observatory: Observatory, name: str) -> None:
    """Somebody starts a mesh, calls once, and looks: what the Envoy counted cannot be older than itself."""
    message = family(name, wire.COUNTER)
    message.families[0].metrics[0].counter.value = 1
    observatory.ingest.stream(WEB, first()).take(uptime(message, 2.0))
    assert recent(observatory) == (1, 1.0)


def test_of_an_old_envoys_first_report_the_last_interval_is_recent(observatory: Observatory) -> None:
    """Its totals may be days old; its distributions hold the requests since its report before."""
    message = uptime(family("istio.requests_total", wire.COUNTER), 86_400.0)
    message.families[0].metrics[0].counter.value = 1000
    timed = message.families.add(name="istio.request_duration_milliseconds", type=wire.HISTOGRAM).metrics.add()
    timed.labels.append(_label(TAG, SENT))
    timed.histogram.sample_count = 3
    timed.histogram.buckets.add(cumulative_count=3, upper_bound=10.0)
    observatory.ingest.stream(WEB, first()).take(message)
    assert recent(observatory) == (3, 1.0)
    (edge,) = observatory.graph().edges
    assert edge.n_requests == 1000


def test_a_series_that_first_appears_on_a_stream_that_has_reported_is_recent(observatory: Observatory) -> None:
    """The first request to a service, long after the Envoy began."""
    stream = observatory.ingest.stream(WEB, first())
    stream.take(uptime(wire.Metrics(), 3600.0))
    message = uptime(family("istio.requests_total", wire.COUNTER), 3602.0)
    message.families[0].metrics[0].counter.value = 1
    stream.take(message)
    assert recent(observatory) == (1, 1.0)


def test_a_second_stream_of_the_same_envoy_adds_nothing_twice(observatory: Observatory) -> None:
    """A reconnect sends the same totals again, and they are no first report either."""
    message = family("istio.requests_total", wire.COUNTER)
    message.families[0].metrics[0].counter.value = 4
    for _ in range(3):
        observatory.ingest.stream(WEB, first()).take(message)
    assert [counter.total for counter in observatory.aggregate.counters()] == [4.0]


class Call:
    """A gRPC call that remembers how it was ended."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None

    async def abort(self, code: grpc.StatusCode, _: str) -> None:
        self.code = code


async def sent(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


@pytest.mark.parametrize(
    ("peer", "raw", "code"),
    [
        ("spiffe://cluster.local/ns/default/sa/other", first().SerializeToString(), grpc.StatusCode.PERMISSION_DENIED),
        (WEB, b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (WEB, b"", grpc.StatusCode.PERMISSION_DENIED),
        (WEB, first().SerializeToString(), None),
    ],
)
async def test_a_stream_ends_with_whose_fault_it_was(peer: str, raw: bytes, code: grpc.StatusCode | None) -> None:
    """Strangers and garbage, and neither leaves a stream behind."""
    observatory = Observatory(StoppedClock(), admission, peer_identity=lambda _: peer)
    call = Call()
    await observatory.ingest.stream_metrics(sent(raw), call)
    assert call.code is code
    assert observatory.ingest.n_streams == 0


async def test_an_export_that_is_none_is_refused() -> None:
    """Garbage in place of traces."""
    observatory = Observatory(StoppedClock(), admission, peer_identity=lambda _: WEB)
    call = Call()
    await observatory.receiver.export(b"\xff\xff", call)
    assert call.code is grpc.StatusCode.INVALID_ARGUMENT
