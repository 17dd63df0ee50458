"""Golden signals: for each workload and each service, how much is asked of it, how much fails, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from byway.telemetry.flow import UNKNOWN, Flow, Observed, Windows
from byway.telemetry.graph import Node, destination, total


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of one workload or service within the window; None where nothing was."""

    kind: Literal["workload", "service"]
    namespace: str
    name: str
    requests_per_s: float
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    n_requests: int


def golden_signals(windows: Windows, now_s: float, window_s: float) -> tuple[Signals, ...]:
    """Signals of all workloads, then of all services, each by name.

    A workload is measured by its own proxy, where that reports; a service by its clients, whose view includes calls
    that found no workload.
    """
    observed = tuple(windows.observed(now_s, window_s))
    span_s = windows.span_s(now_s, window_s)
    workloads = _signals("workload", observed, _workload, ("destination", "source"), span_s)
    services = _signals("service", observed, destination, ("source", "destination"), span_s)
    return (*workloads, *services)


def _workload(flow: Flow) -> Node:
    return Node(flow.destination_namespace, flow.destination_workload)


def _signals(
    kind: Literal["workload", "service"],
    observed: tuple[Observed, ...],
    node: Callable[[Flow], Node],
    preference: tuple[str, str],
    span_s: float,
) -> tuple[Signals, ...]:
    by_node: dict[Node, dict[str, list[Observed]]] = {}
    for each in observed:
        by_node.setdefault(node(each.flow), {}).setdefault(each.flow.reporter, []).append(each)
    made = []
    for name, sides in sorted(by_node.items()):
        if name.name == UNKNOWN:
            continue
        counted = next((sides[reporter] for reporter in preference if reporter in sides), [])
        made.append(_signal(kind, name, counted, span_s))
    return tuple(made)


def _signal(kind: Literal["workload", "service"], name: Node, counted: list[Observed], span_s: float) -> Signals:
    recent = total(each.recent for each in counted)
    n = recent.n_requests
    return Signals(
        kind=kind,
        namespace=name.namespace,
        name=name.name,
        requests_per_s=round(n / span_s, 3),
        success_rate=round(1 - recent.n_failures / n, 4) if n else None,
        p50_ms=recent.percentile_ms(0.50),
        p95_ms=recent.percentile_ms(0.95),
        p99_ms=recent.percentile_ms(0.99),
        n_requests=round(n),
    )
