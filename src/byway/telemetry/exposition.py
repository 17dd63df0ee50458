"""All series as Prometheus reads them, text format 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. The text is made in pieces, so that a server may
serve others between them; each piece is made from what is counted at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from byway.telemetry.aggregation import Aggregate, Histogram, Labels

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PIECE: Final = 500
_HELP: Final = {
    "istio_requests_total": "Requests handled by a proxy.",
    "istio_request_duration_milliseconds": "Duration of requests in milliseconds.",
    "istio_request_bytes": "Size of request bodies in bytes.",
    "istio_response_bytes": "Size of response bodies in bytes.",
    "istio_request_messages_total": "gRPC messages sent by clients.",
    "istio_response_messages_total": "gRPC messages sent by servers.",
    "istio_tcp_sent_bytes_total": "Bytes sent to the client over TCP connections.",
    "istio_tcp_received_bytes_total": "Bytes received from the client over TCP connections.",
    "istio_tcp_connections_opened_total": "TCP connections opened.",
    "istio_tcp_connections_closed_total": "TCP connections closed.",
}


class Sample(msgspec.Struct, frozen=True):
    """One number of a plain metric; `labels` are name and value pairs."""

    value: float
    labels: Labels = ()


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A plain metric of the control plane itself: `byway_*`, `pilot_*`, `citadel_*`."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[Sample, ...]


Provider = Callable[[], Iterable[Metric | str]]
"""Whoever has numbers of its own to show, or whole metrics as text; called at each scrape, and must not block."""


def exposition(aggregate: Aggregate, providers: Iterable[Provider] = ()) -> Iterator[str]:
    """The text of everything counted, in pieces."""
    for provider in providers:
        for metric in provider():
            yield metric if isinstance(metric, str) else _plain(metric)
    by_name: dict[str, list[str]] = {}
    for counter in list(aggregate.counters()):
        line = f"{counter.name}{{{_labels(counter.labels)}}} {_number(counter.total)}\n"
        by_name.setdefault(counter.name, []).append(line)
    for name, lines in by_name.items():
        yield _head(name, "counter", _HELP.get(name, ""))
        for at in range(0, len(lines), _PIECE):
            yield "".join(lines[at : at + _PIECE])
    yield from _histograms(list(aggregate.histograms()))


def _histograms(histograms: list[Histogram]) -> Iterator[str]:
    histograms.sort(key=lambda histogram: histogram.name)
    name = ""
    for at in range(0, len(histograms), _PIECE // 10):
        lines: list[str] = []
        for histogram in histograms[at : at + _PIECE // 10]:
            if histogram.name != name:
                name = histogram.name
                lines.append(_head(name, "histogram", _HELP.get(name, "")))
            lines.append(_histogram(histogram))
        yield "".join(lines)


def _histogram(histogram: Histogram) -> str:
    labels, name, cumulative = _labels(histogram.labels), histogram.name, 0
    lines = []
    for bound, count in zip(histogram.bounds, histogram.counts, strict=True):
        cumulative += count
        lines.append(f'{name}_bucket{{{labels},le="{_number(bound)}"}} {cumulative}\n')
    lines.append(f'{name}_bucket{{{labels},le="+Inf"}} {histogram.count}\n')
    lines.append(f"{name}_sum{{{labels}}} {_number(histogram.total)}\n{name}_count{{{labels}}} {histogram.count}\n")
    return "".join(lines)


def _plain(metric: Metric) -> str:
    lines = [_head(metric.name, metric.kind, metric.help)]
    for sample in metric.samples:
        labels = f"{{{_labels(sample.labels)}}}" if sample.labels else ""
        lines.append(f"{metric.name}{labels} {_number(sample.value)}\n")
    return "".join(lines)


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {_escaped(text)}\n# TYPE {name} {kind}\n"


def _labels(labels: Labels) -> str:
    return ",".join([f'{name}="{_quoted(value)}"' for name, value in labels])


def _quoted(value: str) -> str:
    if value.isalnum():  # nearly every value; the rest is escaped
        return value
    return _escaped(value).replace('"', '\\"')


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value != value:  # NaN is the one value that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
