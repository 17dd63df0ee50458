"""The receiving end of Envoy's metrics service: what proxies stream becomes totals and recent traffic.

A series carries one tag (`byway.model.report`), which becomes Istio's labels here. The sender is known by its certificate,
and its own side of every series is what is known of it: a proxy can report wrongly only as itself. What a peer claims to be
counts only within the namespace that its certificate proves. Names and numbers that no honest Envoy sends are dropped. A
tag is read when its series first appears; later its bytes are looked up.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from envoy.config.core.v3 import base_pb2
from google.protobuf.message import DecodeError

from byway.base.clock import Clock
from byway.identity.spiffe import MalformedSpiffeId, parse_spiffe_id
from byway.model.report import TAG, Peer, Report, report
from byway.telemetry import wire
from byway.telemetry.aggregation import Aggregate, Counter, Histogram, Labels, Source
from byway.telemetry.flow import DURATION, OPENED, REQUESTS, SLOT_S, UNKNOWN, Flow, Windows, is_failure
from byway.telemetry.sender import Admission, PeerIdentity, Sender, SenderRefusedError, spiffe_peer

SERVICE: Final = "envoy.service.metrics.v3.MetricsService"

_COUNTERS: Final = {
    f"istio.{name}": f"istio_{name}"
    for name in (
        "requests_total",
        "request_messages_total",
        "response_messages_total",
        "tcp_sent_bytes_total",
        "tcp_received_bytes_total",
        "tcp_connections_opened_total",
        "tcp_connections_closed_total",
    )
}
_HISTOGRAMS: Final = {
    f"istio.{name}": f"istio_{name}" for name in ("request_duration_milliseconds", "request_bytes", "response_bytes")
}
_SIZES: Final = frozenset({"istio_request_bytes", "istio_response_bytes"})
_LARGEST: Final = 2.0**63
_BUCKETS_LIMIT: Final = 64
_TEXT_LIMIT: Final = 2048
_VALUE_LIMIT: Final = 256
_TCP: Final = "istio_tcp_"
_UPTIME: Final = "server.uptime"
_FRESH_S: Final = 2 * SLOT_S
"""What an Envoy counted before it was this old is recent, also in its first report."""


class Ingest:
    """Reads the metrics streams of all proxies."""

    def __init__(
        self,
        aggregate: Aggregate,
        windows: Windows,
        clock: Clock,
        admission: Admission,
        *,
        peer_identity: PeerIdentity = spiffe_peer,
    ) -> None:
        self._aggregate = aggregate
        self._windows = windows
        self._clock = clock
        self._admission = admission
        self._peer_identity = peer_identity
        self.n_messages = 0
        self.n_streams = 0
        self.n_streams_refused = 0

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What to register on the gRPC server that takes the proxies' connections."""
        method = grpc.stream_unary_rpc_method_handler(self.stream_metrics)
        return (grpc.method_handlers_generic_handler(SERVICE, {"StreamMetrics": method}),)

    async def stream_metrics(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        """One proxy's stream, for as long as it lasts."""
        stream: Stream | None = None
        self.n_streams += 1
        try:
            async for raw in messages:
                message = wire.Metrics.FromString(raw)
                if stream is None:
                    stream = self.stream(self._peer_identity(context), message)
                stream.take(message)
                self.n_messages += 1
        except SenderRefusedError as refused:
            self.n_streams_refused += 1
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refused))
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a StreamMetricsMessage")
        finally:
            self.n_streams -= 1
        return b""

    def stream(self, peer: str, first: Any) -> Stream:
        """The reader of a new stream, whose first message names the node."""
        node = base_pb2.Node.FromString(first.identifier.node)
        if not node.id:
            raise SenderRefusedError("the first message of a metrics stream must name its node")
        metadata = {
            key: value.string_value
            for key, value in node.metadata.fields.items()
            if value.WhichOneof("kind") == "string_value"
        }
        sender = self._admission(peer, node.id, metadata)
        source, number, is_known = self._aggregate.open(
            f"{sender.instance}.{sender.peer.namespace}", sender.epoch, self._clock.monotonic()
        )
        return Stream(self._aggregate, self._windows, self._clock, sender, source, number, is_first=not is_known)


class Stream:
    """One stream of one admitted proxy."""

    def __init__(
        self,
        aggregate: Aggregate,
        windows: Windows,
        clock: Clock,
        sender: Sender,
        source: Source,
        number: int,
        *,
        is_first: bool,
    ) -> None:
        self._aggregate = aggregate
        self._windows = windows
        self._clock = clock
        self._sender = sender
        self._source = source
        self._number = number
        self._flows: dict[Counter | Histogram, tuple[Flow, bool]] = {}
        self._twins: dict[Histogram, Histogram | None] = {}
        self._is_first = is_first
        self._timed: dict[bytes, int] = {}

    def take(self, message: Any) -> None:
        """Counts everything in one message."""
        now_s = self._clock.monotonic()
        self._source.seen_s = now_s
        if self._is_first:
            self._is_first = not _is_fresh(message)
            self._timed = _timed(message)
        for family in message.families:
            kind = family.type
            name = (_COUNTERS if kind == wire.COUNTER else _HISTOGRAMS).get(family.name)
            if name is None:
                continue
            for metric in family.metrics:
                if kind == wire.COUNTER:
                    self._count(now_s, name, metric)
                elif kind == wire.HISTOGRAM and metric.histogram.sample_count:
                    self._distribute(now_s, name, metric)
        self._is_first = False
        self._timed = {}

    def _count(self, now_s: float, name: str, metric: Any) -> None:
        raw = _key(name, metric)
        counter = self._source.known.get(raw)
        if counter is None:
            labels = self._labels(name, metric)
            counter = None if labels is None else self._aggregate.counter(self._source, name, labels)
            if counter is None:
                return
            self._source.known[raw] = counter
        assert isinstance(counter, Counter)
        counter.seen_s = now_s
        value = metric.counter.value
        if not 0 <= value < _LARGEST:
            return
        n = self._source.increment(counter, value, self._number)
        if not n:
            return
        counter.total += n
        if counter.name in (REQUESTS, OPENED):
            flow, has_failed = self._flow(counter)
            n_recent = min(n, self._timed.get(b"".join(metric.labels), 0)) if self._is_first else n
            for part, is_recent in ((n_recent, True), (n - n_recent, False)):
                if part:
                    self._windows.requests(now_s, flow, part, has_failed=has_failed, is_recent=is_recent)

    def _distribute(self, now_s: float, name: str, metric: Any) -> None:
        raw = _key(name, metric)
        buckets = metric.histogram.buckets
        cumulative = [bucket.cumulative_count for bucket in buckets]
        counts = [n - before for n, before in zip(cumulative, [0, *cumulative], strict=False)]
        if len(counts) > _BUCKETS_LIMIT or min(counts, default=0) < 0 or not math.isfinite(metric.histogram.sample_sum):
            return
        histogram = self._source.known.get(raw)
        if histogram is None or not isinstance(histogram, Histogram) or len(histogram.bounds) != len(counts):
            bounds = tuple(bucket.upper_bound for bucket in buckets)
            labels = self._labels(name, metric)
            histogram = None if labels is None else self._aggregate.histogram(self._source, name, labels, bounds)
            if histogram is None:
                return
            self._source.known[raw] = histogram
        histogram.seen_s = now_s
        n = metric.histogram.sample_count
        histogram.add(counts, n, metric.histogram.sample_sum)
        twin = self._twin(histogram)
        if twin is not None:
            twin.seen_s = now_s
            twin.add(counts, n, metric.histogram.sample_sum)
        if histogram.name == DURATION:
            flow, _ = self._flow(histogram)
            self._windows.durations(now_s, flow, histogram.bounds, counts, n)

    def _twin(self, histogram: Histogram) -> Histogram | None:
        """What the caller's sidecar would report: sizes are measured at the server only, and are the same on both sides."""
        if histogram.name not in _SIZES:
            return None
        if histogram not in self._twins:
            seen = dict(histogram.labels)
            is_shared = seen["reporter"] == "destination" and seen["connection_security_policy"] == "mutual_tls"
            labels = tuple((seen | {"reporter": "source", "connection_security_policy": UNKNOWN}).items())
            self._twins[histogram] = (
                self._aggregate.histogram(self._source, histogram.name, labels, histogram.bounds) if is_shared else None
            )
        return self._twins[histogram]

    def _flow(self, series: Counter | Histogram) -> tuple[Flow, bool]:
        found = self._flows.get(series)
        if found is None:
            found = self._flows[series] = Flow.of(series.labels), is_failure(series.labels)
        return found

    def _labels(self, name: str, metric: Any) -> Labels | None:
        """Istio's labels of a series; None where no sidecar reports so."""
        tags = dict(map(wire.label, metric.labels))
        found = report(tags.get(TAG, "")[:_TEXT_LIMIT])
        return None if found is None else labels(found, self._sender.peer, is_tcp=name.startswith(_TCP))


def labels(found: Report, own: Peer, *, is_tcp: bool) -> Labels:
    """Istio's labels of a report by the workload `own`; "unknown" where Envoy knows nothing."""
    other = _believed(found)
    source, destination = (own, other) if found.reporter == "source" else (other, own)
    protocol = "tcp" if is_tcp else "grpc" if found.grpc_status else "http"
    values = {
        "reporter": found.reporter,
        **_side("source", source),
        **_side("destination", destination),
        "destination_service": found.service_host,
        "destination_service_name": found.service_name,
        "destination_service_namespace": found.service_namespace,
        "request_protocol": protocol,
        "response_flags": found.response_flags,
        "connection_security_policy": found.security,
    }
    if not is_tcp:
        values["response_code"] = found.response_code
    if protocol == "grpc":
        values["grpc_response_status"] = found.grpc_status
    return tuple((label, value[:_VALUE_LIMIT] or UNKNOWN) for label, value in values.items())


def _side(side: str, peer: Peer) -> dict[str, str]:
    return {
        f"{side}_workload": peer.workload,
        f"{side}_workload_namespace": peer.namespace,
        f"{side}_principal": peer.principal,
        f"{side}_app": peer.app,
        f"{side}_version": peer.version,
        f"{side}_canonical_service": peer.service,
        f"{side}_canonical_revision": peer.revision,
    }


def _believed(found: Report) -> Peer:
    """The peer as far as it is borne out: a server by the control plane, which described it; a client by its certificate."""
    peer = found.peer
    if not peer.principal:
        return peer if found.reporter == "source" else Peer(workload="", namespace="")
    try:
        proved = parse_spiffe_id(peer.principal).workload
    except MalformedSpiffeId:
        proved = None
    if proved is None or proved[0] == peer.namespace:
        return peer
    return Peer(workload="", namespace="", principal=peer.principal)


def _is_fresh(message: Any) -> bool:
    """Whether the Envoy that sends this has begun only now, so that its totals are no old ones."""
    uptimes = [f.metrics[0].gauge.value for f in message.families if f.name == _UPTIME and f.metrics]
    return bool(uptimes) and 0 <= uptimes[0] <= _FRESH_S


def _timed(message: Any) -> dict[bytes, int]:
    """How many requests of each tag ended since Envoy's report before this one, whoever got that: histograms are intervals."""
    return {
        b"".join(metric.labels): metric.histogram.sample_count
        for family in message.families
        if _HISTOGRAMS.get(family.name) == DURATION
        for metric in family.metrics
    }


def _key(name: str, metric: Any) -> bytes:
    return name.encode() + b"".join(metric.labels)
