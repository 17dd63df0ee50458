"""`byway traces`: the latest requests, or one request as a tree of its hops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from cyclopts import Parameter

from byway.base.wording import counted
from byway.cli.answers import TraceList
from byway.cli.control_plane import ControlPlane, segment, understood
from byway.cli.options import Output, Server, State
from byway.cli.output import show, table
from byway.cli.values import number_within
from byway.cli.wording import latency
from byway.telemetry.traces import SpanNode, Trace, TraceSummary

_TO_TRACE: Final = """\
no traces have been seen. A mesh traces the share of requests that its MeshConfig says, in percent. To trace 1 %, apply:

apiVersion: byway.dev/v1alpha1
kind: MeshConfig
metadata:
  name: default
spec:
  defaultConfig:
    tracing:
      sampling: 1"""

HEADERS = ("TRACE", "START", "DURATION", "SERVICE", "OPERATION", "STATUS", "SPANS", "ERRORS", "SERVICES")


def command(
    trace: str | None = None,
    /,
    *,
    service: Annotated[str | None, Parameter(help="Only traces that this service took part in.")] = None,
    limit: Annotated[int, Parameter(help="How many traces to list, the latest first.")] = 20,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show recent traces, or one trace as a tree.

    Parameters
    ----------
    trace
        The id of one trace, as the list shows it.
    """
    control_plane = ControlPlane(server, state)
    if trace:
        content = control_plane.answer(f"/api/traces/{segment(trace)}")
        found = understood(content, Trace)
        show(content, output, lambda: trace_tree(found))
        return 0
    n = int(number_within("--limit", limit, 1, 200))
    content = control_plane.answer("/api/traces", service=service, limit=n)
    summaries = understood(content, TraceList).traces
    nothing = _TO_TRACE
    if service and not summaries and control_plane.answer("/api/traces", limit=1)["traces"]:
        nothing = f"none of the recent traces has a part of {service} (see `byway traces` for all of them)"
    show(content["traces"], output, lambda: summary_table(summaries) if summaries else nothing)
    return 0


def summary_table(summaries: Sequence[TraceSummary]) -> str:
    """One trace a line."""
    rows = [
        (
            summary.trace_id,
            datetime.fromtimestamp(summary.start_unix_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3],
            latency(summary.duration_ms),
            summary.service,
            summary.operation,
            str(summary.status_code or "-"),
            str(summary.n_spans),
            str(summary.n_errors),
            str(len(summary.services)),
        )
        for summary in summaries
    ]
    return table(HEADERS, rows)


def trace_tree(trace: Trace) -> str:
    """Every hop on a line below the one that caused it, with its offset and duration."""
    rows = [row for root in trace.roots for row in _rows(root, "", "")]
    services = counted(len(trace.services), "service")
    summary = f"trace {trace.trace_id}: {counted(trace.n_spans, 'span')}, {services}, {latency(trace.duration_ms)}"
    return f"{summary}\n\n{table(('HOP', 'OPERATION', 'OFFSET', 'DURATION', 'STATUS'), rows)}"


def _rows(node: SpanNode, lead: str, branch: str) -> Iterator[tuple[str, ...]]:
    span = node.span
    side = {"client": "→", "server": "●"}.get(span.kind, "·")
    status = " ".join(filter(None, [str(span.status_code or "-"), span.response_flags.strip("-")]))
    name = f"{lead}{branch}{side} {span.service}"
    yield name, span.operation, f"+{latency(node.offset_ms)}", latency(span.duration_ms), status
    below = lead + {"├─": "│ ", "└─": "  "}.get(branch, "")
    for at, child in enumerate(node.children, 1):
        yield from _rows(child, below, "└─" if at == len(node.children) else "├─")
