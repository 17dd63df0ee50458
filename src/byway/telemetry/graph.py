"""The service graph: which workload calls which service, how much and how well.

Both ends of a call report it. An edge exists when either has; its numbers are the client's where the client's proxy
reports (it also sees calls that never reached a server), else the server's. They are never added up. An edge from
`unknown` holds what no client's sidecar reported, within the window (`strangers`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from byway.telemetry.flow import UNKNOWN, Flow, Observed, Traffic, Windows
from byway.telemetry.strangers import reported_once


class Node(msgspec.Struct, frozen=True, order=True):
    """A workload, or a service, by name."""

    namespace: str
    name: str


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Calls from a workload to a service. `workloads` are those that answered; percentiles are None without a call.

    `security` is how the calls of the window went, or the last ones where it had none: `mutual_tls`, `none`, both with a
    comma, `unknown` where nobody could tell.
    """

    source: Node
    destination: Node
    workloads: tuple[Node, ...]
    protocol: str
    security: str
    reporters: tuple[str, ...]
    requests_per_s: float
    error_rate: float
    p50_ms: float | None
    p99_ms: float | None
    n_requests: int
    n_failures: int
    idle_s: float


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """All edges that the mesh has seen, with rates over the last `window_s` seconds."""

    window_s: float
    edges: tuple[Edge, ...]


class _Parallel:
    """What is known of one edge, by reporter."""

    def __init__(self) -> None:
        self.sides: dict[str, list[Observed]] = {}

    def add(self, observed: Observed) -> None:
        self.sides.setdefault(observed.flow.reporter, []).append(observed)


def graph(windows: Windows, now_s: float, window_s: float) -> Graph:
    """The graph of everything observed, edges in order of their names."""
    edges: dict[tuple[Node, Node], _Parallel] = {}
    for observed in reported_once(windows, now_s, window_s):
        flow = observed.flow
        ends = Node(flow.source_namespace, flow.source_workload), destination(flow)
        edges.setdefault(ends, _Parallel()).add(observed)
    span_s = windows.span_s(now_s, window_s)
    return Graph(
        window_s=window_s,
        edges=tuple(_edge(*ends, edges[ends], span_s) for ends in sorted(edges)),
    )


def destination(flow: Flow) -> Node:
    """The service that a flow goes to; its workload where no service is known."""
    if flow.destination_service != UNKNOWN:
        return Node(flow.destination_service_namespace, flow.destination_service)
    return Node(flow.destination_namespace, flow.destination_workload)


def _edge(source: Node, target: Node, parallel: _Parallel, span_s: float) -> Edge:
    sides = parallel.sides
    counted = sides.get("source") or next(iter(sides.values()))
    every = [observed for side in sides.values() for observed in side]
    recent = total(observed.recent for observed in counted)
    workloads = {Node(o.flow.destination_namespace, o.flow.destination_workload) for o in every}
    return Edge(
        source=source,
        destination=target,
        workloads=tuple(sorted(node for node in workloads if node.name != UNKNOWN)),
        protocol=",".join(sorted({observed.flow.protocol for observed in counted})),
        security=_security(every),
        reporters=tuple(sorted(sides)),
        requests_per_s=round(recent.n_requests / span_s, 3),
        error_rate=round(recent.n_failures / recent.n_requests, 4) if recent.n_requests else 0.0,
        p50_ms=recent.percentile_ms(0.50),
        p99_ms=recent.percentile_ms(0.99),
        n_requests=round(sum(observed.n_requests_ever for observed in counted)),
        n_failures=round(sum(observed.n_failures_ever for observed in counted)),
        idle_s=round(min(observed.idle_s for observed in every), 1),
    )


def _security(observed: list[Observed]) -> str:
    """How the calls of the window went, else those that were seen last."""
    known = [each for each in observed if each.flow.security != UNKNOWN]
    counted = [each for each in known if each.recent.n_requests]
    if not counted:
        last_s = min((each.idle_s for each in known), default=0.0)
        counted = [each for each in known if each.idle_s == last_s]
    # One plaintext call is what an operator must see, however many were encrypted.
    return ",".join(sorted({each.flow.security for each in counted})) or UNKNOWN


def total(traffics: Iterable[Traffic]) -> Traffic:
    """All of these added up."""
    added = Traffic()
    for traffic in traffics:
        added.add(traffic)
    return added
