"""All that the mesh is seen to do, in one place: the receivers that proxies report to, and the views on what they said.

The composition root makes one, registers its `handlers` on the gRPC server that proxies connect to, and calls `expire` now and
then; the admin API asks for the views.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc

from byway.base.clock import Clock
from byway.telemetry.aggregation import SILENCE_S, Aggregate
from byway.telemetry.exposition import Metric, Provider, Sample, exposition
from byway.telemetry.flow import KEPT_S, SLOT_S, Windows
from byway.telemetry.golden import Signals, golden_signals
from byway.telemetry.graph import Graph, graph
from byway.telemetry.ingest import Ingest
from byway.telemetry.otlp import ServiceClaim, TraceReceiver, claims_own_namespace
from byway.telemetry.sender import Admission, PeerIdentity, spiffe_peer
from byway.telemetry.traces import TraceStore

WINDOW_S: Final = 60.0
"""The window of rates and percentiles where nobody asks for another."""


class Observatory:
    """Receivers and views; everything lives on one event loop."""

    def __init__(
        self,
        clock: Clock,
        admission: Admission,
        *,
        claim: ServiceClaim = claims_own_namespace,
        peer_identity: PeerIdentity = spiffe_peer,
    ) -> None:
        self._clock = clock
        self.aggregate = Aggregate()
        self.windows = Windows(clock.monotonic())
        self.traces = TraceStore()
        self.ingest = Ingest(self.aggregate, self.windows, clock, admission, peer_identity=peer_identity)
        self.receiver = TraceReceiver(self.traces, claim=claim, peer_identity=peer_identity)

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What to register on the gRPC server that proxies report to."""
        return (*self.ingest.handlers(), *self.receiver.handlers())

    def graph(self, window_s: float = WINDOW_S) -> Graph:
        """Who calls whom."""
        return graph(self.windows, self._clock.monotonic(), bounded_window_s(window_s))

    def golden_signals(self, window_s: float = WINDOW_S) -> tuple[Signals, ...]:
        """How well every workload and service does."""
        return golden_signals(self.windows, self._clock.monotonic(), bounded_window_s(window_s))

    def exposition(self, providers: Iterable[Provider] = ()) -> Iterator[str]:
        """Everything counted, as Prometheus reads it, in pieces."""
        return exposition(self.aggregate, (*providers, self.metrics))

    def expire(self) -> None:
        """Forgets what nobody has reported for a day; to be called every few minutes."""
        now_s = self._clock.monotonic()
        self.aggregate.expire(now_s)
        self.windows.expire(now_s, SILENCE_S)

    def metrics(self) -> Iterable[Metric]:
        """How much is held and what found no room."""
        for name, kind, text, value in (
            ("series", "gauge", "Series that are kept.", self.aggregate.n_series),
            ("sources", "gauge", "Lives of Envoys that are remembered.", self.aggregate.n_sources),
            ("streams", "gauge", "Metrics streams that are open.", self.ingest.n_streams),
            ("messages_total", "counter", "Messages of metrics taken.", self.ingest.n_messages),
            ("streams_refused_total", "counter", "Metrics streams refused.", self.ingest.n_streams_refused),
            ("series_refused_total", "counter", "Reports of series without room.", self.aggregate.n_series_refused),
            ("flows_refused_total", "counter", "Reports of flows without room.", self.windows.n_flows_refused),
            ("traces", "gauge", "Traces that are held.", self.traces.n_traces),
            ("traces_bytes", "gauge", "Bytes that traces take.", self.traces.n_bytes),
            ("traces_given_up_total", "counter", "Traces dropped for newer ones.", self.traces.n_traces_given_up),
            ("spans_total", "counter", "Spans taken.", self.traces.n_spans_taken),
            ("spans_refused_total", "counter", "Spans of overlong traces.", self.traces.n_spans_refused),
        ):
            is_counter = kind == "counter"
            yield Metric(
                name=f"byway_telemetry_{name}",
                kind="counter" if is_counter else "gauge",
                help=text,
                samples=(Sample(float(value)),),
            )


def bounded_window_s(window_s: float) -> float:
    """The nearest window that is kept."""
    return min(max(window_s, SLOT_S), KEPT_S)
