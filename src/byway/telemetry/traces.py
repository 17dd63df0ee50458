"""Recent traces, kept in memory up to a number of bytes, the oldest given up first.

Spans of one trace come from many proxies at different times, so a trace is whatever spans have arrived under its id;
its tree is made when somebody asks. Spans lie packed, which makes the limit in bytes an honest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

BYTES: Final = 16 * 2**20
TRACES: Final = 20_000
SPANS_PER_TRACE: Final = 2_000
SEARCH_LIMIT: Final = 200
_DEPTH: Final = 100
_OVERHEAD: Final = 100
"""Bytes that a packed span costs besides its content (object header, list slot, share of its trace)."""


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One proxy's part in a request. `service` is what the peer's certificate (`identity`) lets it claim."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    service: str
    operation: str
    kind: Literal["server", "client", "other"] = "other"
    start_unix_ns: int
    duration_ms: float
    status_code: int = 0
    response_flags: str = ""
    is_error: bool = False
    identity: str = ""
    attributes: Mapping[str, str] = msgspec.field(default_factory=dict)


class SpanNode(msgspec.Struct, frozen=True, kw_only=True):
    """A span with the spans that it caused, in order of time; `offset_ms` counts from the start of the trace."""

    span: Span
    offset_ms: float
    children: tuple[SpanNode, ...] = ()


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of one request. More than one root means that a span on the way is missing."""

    trace_id: str
    start_unix_ns: int
    duration_ms: float
    n_spans: int
    n_errors: int
    services: tuple[str, ...]
    roots: tuple[SpanNode, ...]


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a list of traces."""

    trace_id: str
    service: str
    operation: str
    start_unix_ns: int
    duration_ms: float
    n_spans: int
    n_errors: int
    status_code: int
    services: tuple[str, ...]


class _Held:
    """The spans of one trace, packed, and what a search needs of them."""

    __slots__ = (
        "end_ns",
        "first",
        "n_bytes",
        "n_errors",
        "operation",
        "packed",
        "service",
        "services",
        "start_ns",
        "status",
    )

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.n_bytes = 2 * _OVERHEAD
        self.services: set[str] = set()
        self.n_errors = 0
        self.start_ns = self.end_ns = 0
        self.first: tuple[bool, int] = (True, 0)
        self.service = self.operation = ""
        self.status = 0


class TraceStore:
    """The traces of the last while."""

    def __init__(self, *, n_bytes: int = BYTES, traces: int = TRACES, spans_per_trace: int = SPANS_PER_TRACE) -> None:
        self._limit_bytes = n_bytes
        self._limit_traces = traces
        self._limit_spans = spans_per_trace
        self._held: dict[str, _Held] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Span)
        self.n_bytes = 0
        self.n_spans_taken = 0
        self.n_spans_refused = 0
        self.n_traces_given_up = 0

    @property
    def n_traces(self) -> int:
        """How many traces are held."""
        return len(self._held)

    def add(self, span: Span) -> None:
        """Keeps a span; the oldest traces go when there is no room."""
        held = self._held.get(span.trace_id)
        if held is None:
            held = self._held[span.trace_id] = _Held()
            self.n_bytes += held.n_bytes
        if len(held.packed) >= self._limit_spans:
            self.n_spans_refused += 1
            return
        packed = self._encoder.encode(span)
        held.packed.append(packed)
        n_bytes = len(packed) + _OVERHEAD + (0 if span.service in held.services else len(span.service) + _OVERHEAD)
        held.n_bytes += n_bytes
        self.n_bytes += n_bytes
        self.n_spans_taken += 1
        _summarise(held, span)
        while self.n_bytes > self._limit_bytes or len(self._held) > self._limit_traces:
            oldest = next(iter(self._held))
            self.n_bytes -= self._held.pop(oldest).n_bytes
            self.n_traces_given_up += 1

    def search(
        self, *, service: str = "", min_duration_ms: float = 0.0, only_errors: bool = False, limit: int = 20
    ) -> tuple[TraceSummary, ...]:
        """The latest traces that `service` (a full name, or one without its namespace) took part in."""
        found: list[TraceSummary] = []
        for trace_id, held in reversed(self._held.items()):
            if len(found) >= min(limit, SEARCH_LIMIT):
                break
            duration_ms = (held.end_ns - held.start_ns) / 1e6
            is_wanted = not service or any(name == service or name.startswith(f"{service}.") for name in held.services)
            if is_wanted and duration_ms >= min_duration_ms and (held.n_errors or not only_errors):
                found.append(_summary(trace_id, held, duration_ms))
        return tuple(found)

    def trace(self, trace_id: str) -> Trace | None:
        """The trace of that id as a tree, or None where nothing is held of it."""
        held = self._held.get(trace_id)
        if held is None or not held.packed:
            return None
        unique = {span.span_id: span for span in map(self._decoder.decode, held.packed)}
        spans = sorted(unique.values(), key=lambda span: (span.start_unix_ns, span.span_id))
        return Trace(
            trace_id=trace_id,
            start_unix_ns=held.start_ns,
            duration_ms=(held.end_ns - held.start_ns) / 1e6,
            n_spans=len(spans),
            n_errors=sum(span.is_error for span in spans),
            services=tuple(sorted(held.services)),
            roots=tree(spans),
        )


def _summarise(held: _Held, span: Span) -> None:
    start, end = span.start_unix_ns, span.start_unix_ns + int(span.duration_ms * 1e6)
    held.start_ns = min(held.start_ns or start, start)
    held.end_ns = max(held.end_ns, end)
    held.services.add(span.service)
    held.n_errors += span.is_error
    # The trace is named after its root, or after its earliest span while the root has not come.
    rank = (bool(span.parent_id), start)
    if not held.service or rank < held.first:
        held.first = rank
        held.service, held.operation, held.status = span.service, span.operation, span.status_code


def _summary(trace_id: str, held: _Held, duration_ms: float) -> TraceSummary:
    return TraceSummary(
        trace_id=trace_id,
        service=held.service,
        operation=held.operation,
        start_unix_ns=held.start_ns,
        duration_ms=duration_ms,
        n_spans=len(held.packed),
        n_errors=held.n_errors,
        status_code=held.status,
        services=tuple(sorted(held.services)),
    )


def tree(spans: list[Span]) -> tuple[SpanNode, ...]:
    """The spans, in order of time, as trees: whoever's parent is not there is a root.

    Parents that form a circle (no honest proxy sends one) are cut at their earliest span, and what lies deeper than 100
    levels is shown on the 100th, so every span appears exactly once.
    """
    if not spans:
        return ()
    present = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        is_root = span.parent_id not in present or span.parent_id == span.span_id
        children.setdefault("" if is_root else span.parent_id, []).append(span)
    placed: set[str] = set()
    origin_ns = spans[0].start_unix_ns
    roots = [_grown(root, children, placed, origin_ns) for root in children.get("", [])]
    roots += [_grown(span, children, placed, origin_ns) for span in spans if span.span_id not in placed]
    return tuple(sorted(roots, key=lambda node: node.offset_ms))


def _grown(root: Span, children: dict[str, list[Span]], placed: set[str], origin_ns: int) -> SpanNode:
    order = list(_preorder(root, children, placed))
    grown: dict[str, list[SpanNode]] = {}
    node = None
    for span, parent in reversed(order):  # children before their parents
        below = grown.pop(span.span_id, [])
        offset_ms = (span.start_unix_ns - origin_ns) / 1e6
        node = SpanNode(span=span, offset_ms=offset_ms, children=tuple(reversed(below)))
        grown.setdefault(parent, []).append(node)
    assert node is not None, "the root is the last of its own order reversed"
    return node


def _preorder(root: Span, children: dict[str, list[Span]], placed: set[str]) -> Iterator[tuple[Span, str]]:
    """Each span below `root` with the id of the span that it is shown under, parents before children."""
    waiting = [(root, "", 1)]
    placed.add(root.span_id)
    while waiting:
        span, parent, depth = waiting.pop()
        yield span, parent
        shown_under, below = (span.span_id, depth + 1) if depth < _DEPTH else (parent, depth)
        for child in reversed(children.get(span.span_id, [])):
            if child.span_id not in placed:
                placed.add(child.span_id)
                waiting.append((child, shown_under, below))
