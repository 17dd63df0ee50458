"""The trace store: trees, search, bounds, and whose word is believed."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from byway.telemetry.otlp import TraceReceiver, account, claims_own_namespace
from byway.telemetry.traces import Span, SpanNode, TraceStore, tree

RECORDED = Path(__file__).parent / "recorded" / "traces.bin"
WEB = "spiffe://cluster.local/ns/default/sa/web"


def span(span_id: str, parent_id: str = "", **more: object) -> Span:
    fields = {"trace_id": "t", "service": "web.default", "operation": "GET /", "start_unix_ns": 1, "duration_ms": 1.0}
    return msgspec.convert({**fields, "span_id": span_id, "parent_id": parent_id, **more}, Span)


def names(nodes: tuple[SpanNode, ...]) -> list[str]:
    found, waiting = [], list(nodes)
    while waiting:
        node = waiting.pop()
        found.append(node.span.span_id)
        waiting.extend(node.children)
    return sorted(found)


def test_recorded_exports_become_trees() -> None:
    """What a real Envoy exported: the request through four proxies is one tree of four levels."""
    store = TraceStore()
    TraceReceiver(store).take(RECORDED.read_bytes(), WEB)
    longest = max(store.search(), key=lambda found: found.n_spans)
    assert (longest.n_spans, longest.operation, longest.status_code) == (4, "GET /hop", 200)
    trace = store.trace(longest.trace_id)
    assert trace is not None
    assert len(trace.roots) == 1
    assert trace.roots[0].children[0].children[0].children[0].span.operation == "GET /leaf"


def test_a_service_name_is_believed_within_the_identitys_namespace_only() -> None:
    """Otherwise the span goes under the service account that the certificate proves."""
    store = TraceStore()
    TraceReceiver(store).take(RECORDED.read_bytes(), "spiffe://cluster.local/ns/other/sa/thief")
    assert {name for found in store.search() for name in found.services} == {"thief.other"}
    assert claims_own_namespace(WEB, "web.default")
    assert not claims_own_namespace("spiffe://cluster.local/web", "web.")
    assert account("spiffe://cluster.local/ns/a/sa/b/c") == ("", "")


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=30))
def test_every_span_appears_exactly_once_whatever_the_parents(links: list[tuple[int, int]]) -> None:
    """Missing parents, circles and chains alike."""
    spans = {child: span(str(child), str(parent) if parent else "") for child, parent in links}
    roots = tree(list(spans.values()))
    assert names(roots) == sorted(str(child) for child in spans)


def test_a_very_deep_trace_is_cut_to_a_hundred_levels() -> None:
    """And can still be written as JSON."""
    roots = tree([span(str(n), str(n - 1) if n else "") for n in range(1000)])
    assert len(names(roots)) == 1000
    assert msgspec.json.encode(roots)


def test_the_oldest_traces_are_given_up_for_new_ones() -> None:
    """The store holds at most so many bytes, whatever comes."""
    store = TraceStore(n_bytes=20_000)
    for n in range(1000):
        store.add(span("a", trace_id=f"trace-{n}"))
    assert store.n_bytes <= 20_000
    assert store.trace("trace-0") is None
    assert store.trace("trace-999") is not None
    assert store.n_traces + store.n_traces_given_up == 1000


def test_one_endless_trace_cannot_fill_the_store() -> None:
    """Spans beyond the limit are counted and dropped; a span sent twice is shown once."""
    store = TraceStore(spans_per_trace=3)
    for n in (1, 1, 2, 3, 4):
        store.add(span(str(n)))
    assert store.n_spans_refused == 2
    trace = store.trace("t")
    assert trace is not None
    assert trace.n_spans == 2


def test_the_search_is_latest_first_and_by_service_duration_and_errors() -> None:
    """A service may be named with or without its namespace, but not by a part of its name."""
    store = TraceStore()
    store.add(span("a", trace_id="1", service="web.default", duration_ms=5.0))
    store.add(span("b", trace_id="2", service="web-other.default", is_error=True))
    store.add(span("c", trace_id="3", service="web.default", parent_id="x", is_error=True))
    assert [found.trace_id for found in store.search()] == ["3", "2", "1"]
    assert [found.trace_id for found in store.search(service="web")] == ["3", "1"]
    assert [found.trace_id for found in store.search(service="web.default", only_errors=True)] == ["3"]
    assert [found.trace_id for found in store.search(min_duration_ms=2)] == ["1"]
    assert len(store.search(limit=2)) == 2


def test_a_trace_is_named_after_its_root_once_that_has_come() -> None:
    """Spans arrive in any order."""
    store = TraceStore()
    store.add(span("b", "a", operation="GET /inner", start_unix_ns=5))
    assert store.search()[0].operation == "GET /inner"
    store.add(span("a", operation="GET /outer", start_unix_ns=6))
    assert store.search()[0].operation == "GET /outer"
