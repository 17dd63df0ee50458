"""`byway graph`: who calls whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from byway.cli.control_plane import ControlPlane, understood
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import show, table
from byway.cli.values import seconds
from byway.cli.wording import latency, percent
from byway.telemetry.graph import Edge, Graph

HEADERS = ("SOURCE", "DESTINATION", "WORKLOADS", "PROTOCOL", "SECURED", "RPS", "ERRORS", "P50", "P99")
SECURED: Final = {"mutual_tls": "√", "none": "×", "mutual_tls,none": "√×"}

Window = Annotated[str, Parameter(help="Over how long rates and percentiles are taken, such as 60s or 5m.")]


def command(
    *,
    window: Window = "60s",
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show who calls whom, how often, how fast, and with how many errors.

    Every edge that requests have really taken is there, also those that were quiet within the window; from `unknown`
    (callers outside the mesh) only those that were not. SECURED says how the calls of the window went, or the last ones
    before: √ mutually authenticated and encrypted, × in plain text, √× some so and some so, ? nobody could tell.

    ERRORS counts answers 5xx, requests without an answer (unless the caller hung up), and the gRPC statuses UNKNOWN,
    DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS; 4xx are the caller's and no errors. A TCP
    connection counts as one request, without errors.
    """
    content = ControlPlane(server, state).answer("/api/graph", window=seconds("--window", window))
    graph = understood(content, Graph)
    edges = tuple(
        edge for edge in graph.edges if namespace in {None, edge.source.namespace, edge.destination.namespace}
    )
    show(msgspec.structs.replace(graph, edges=edges), output, lambda: edge_table(edges))
    return 0


def edge_table(edges: Sequence[Edge]) -> str:
    """One edge a line, as `linkerd edges` and `linkerd stat` show them together."""
    if not edges:
        return "nobody has called anybody yet"
    rows = [
        (
            f"{edge.source.name}.{edge.source.namespace}",
            f"{edge.destination.name}.{edge.destination.namespace}",
            ",".join(workload.name for workload in edge.workloads) or "-",
            edge.protocol,
            SECURED.get(edge.security, "?"),
            f"{edge.requests_per_s:.1f}",
            percent(edge.error_rate),
            latency(edge.p50_ms),
            latency(edge.p99_ms),
        )
        for edge in edges
    ]
    return table(HEADERS, rows)
