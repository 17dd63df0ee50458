"""What a change costs: the time to the last acknowledgement, the queries that ran, the resources that were sent.

The same resource is applied again and again with another value. Before the first one that counts it is applied once,
so that what is measured is a change and not a creation.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from bench.mesh import BenchMesh
from bench.process import BenchFailed
from bench.result import Goal, Result, Sample
from bench.scope import Progress, Scope
from byway.demo import files

GROUP: Final = "What a change costs"
_BREAKER_GOAL: Final = Goal(150)
_PAUSE_S: Final = 0.6
"""More than the window within which changes to one proxy are pushed together: each one is measured alone."""
_COMPUTED: Final = "byway_queries_computed_total"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One change: from its publication to the last ACK, the whole request, and the work it made."""

    rollout_ms: float
    request_ms: float
    n_queries: float
    n_sent: int
    n_affected: int
    n_connected: int


def results(mesh: BenchMesh, scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """Both kinds of change, then the fleet as it was before."""
    progress.say(f"fleet: {scope.n_changes} changes of the mesh-wide circuit breaker")
    breaker = _costs(mesh, _breakers(scope.n_changes))
    mesh.delete("DestinationRule", "circuit-breaker", "istio-system")
    progress.say(f"fleet: {scope.n_changes} changes of one VirtualService")
    canary = _costs(mesh, _canaries(scope.n_changes))
    instances = tuple(proxy["instance"] for proxy in mesh.json("/api/status")["proxies"])
    n_holders = mesh.n_holders(instances, "link-service.default.svc")
    mesh.delete("VirtualService", "link-service", "default")
    return (
        *_told("breaker", "the mesh-wide circuit breaker, another maxConnections each time", breaker, _BREAKER_GOAL),
        *_told("virtual_service", "link-service's VirtualService, other weights each time", canary, None),
        _figure(
            "virtual_service_holders",
            n_holders,
            "proxies",
            "hold link-service's routes, read from the Envoys themselves",
            "",
        ),
    )


def _breakers(n_changes: int) -> list[str]:
    text = (files.RESOURCES / "circuit-breaker.yaml").read_text()
    return [text.replace("maxConnections: 64", f"maxConnections: {64 + n}") for n in range(n_changes + 1)]


def _canaries(n_changes: int) -> list[str]:
    text = (files.RESOURCES / "canary.yaml").read_text()
    shares = [n + 5 for n in range(n_changes + 1)]
    return [text.replace("weight: 95", f"weight: {100 - n}").replace("weight: 5\n", f"weight: {n}\n") for n in shares]


def _costs(mesh: BenchMesh, texts: list[str]) -> list[Cost]:
    mesh.apply(texts[0])
    return [_cost(mesh, text) for text in texts[1:]]


def _cost(mesh: BenchMesh, text: str) -> Cost:
    time.sleep(_PAUSE_S)
    before = mesh.metric(_COMPUTED)
    began = time.perf_counter()
    rollout = mesh.apply(text)
    took = time.perf_counter() - began
    if rollout["n_acked"] != rollout["n_affected"] or rollout["refusals"]:
        raise BenchFailed(f"a change did not reach everybody: {rollout}")
    return Cost(
        rollout_ms=rollout["seconds"] * 1000,
        request_ms=took * 1000,
        n_queries=mesh.metric(_COMPUTED) - before,
        n_sent=rollout["n_resources_sent"],
        n_affected=rollout["n_affected"],
        n_connected=rollout["n_connected"],
    )


def _told(word: str, what: str, costs: list[Cost], goal: Goal | None) -> tuple[Result, ...]:
    times = Sample.of([cost.rollout_ms for cost in costs])
    whole = Sample.of([cost.request_ms for cost in costs])
    queries = Sample.of([cost.n_queries for cost in costs])
    sent = Sample.of([cost.n_sent for cost in costs])
    affected = Sample.of([cost.n_affected for cost in costs])
    n_connected = costs[-1].n_connected
    repeated = f"median of {len(costs)} changes of {what}"
    return (
        _figure(f"{word}_last_ack_ms", times.median, "ms", f"published to last ACK; {repeated}", times.spread, goal),
        _figure(f"{word}_apply_ms", whole.median, "ms", f"the whole HTTP request, proof included; {repeated}", whole.spread),
        _figure(f"{word}_queries", queries.median, "queries", f"queries that ran; {repeated}", queries.spread),
        _figure(f"{word}_resources_sent", sent.median, "resources", f"sent to all proxies; {repeated}", sent.spread),
        _figure(
            f"{word}_proxies", affected.median, "proxies", f"of {n_connected} connected, sent anything; {repeated}",
            affected.spread,
        ),
    )  # fmt: skip


def _figure(name: str, value: float, unit: str, how: str, spread: str, goal: Goal | None = None) -> Result:
    detail = f"changes {spread}" if spread else ""
    return Result(name=name, value=round(value, 1), unit=unit, goal=goal, how=how, detail=detail, group=GROUP)
