"""What a sidecar pair adds to a call, burst after burst in turn over the ways that are compared.

Each round takes all ways one after another, another one first each time, so that what else happens on the machine
meets all alike; a ratio is made within its round, and the median over the rounds is the figure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bench.load import Seen, burst
from bench.process import processor_seconds
from bench.result import Goal, Result, Sample, figure
from bench.scope import Progress, Scope
from bench.ways import WAYS, Way, WayName, opened_ways

CONNECTIONS: Final = (1, 16)
GROUP: Final = "Latency of a sidecar pair"
_GOAL: Final = Goal(1.2)
_WARM_S: Final = 1.0
_HOW: Final = (
    "wrk, one thread, keep-alive, {n} connection{s}, 1 KB answers; median over the rounds of the ratio within a round"
)


class Visit(msgspec.Struct, frozen=True):
    """One burst over one way, with the processor time of the proxies on it."""

    seen: Seen
    proxy_seconds: float

    @property
    def proxy_ms_per_1000(self) -> float:
        """Processor time of the proxies for 1,000 requests."""
        return 1e6 * self.proxy_seconds / self.seen.n_requests


Round = dict[tuple[WayName, int], Visit]
Reading = Callable[[Visit], float]
_PERCENTILES: Final[dict[str, Reading]] = {
    "p50": lambda visit: visit.seen.p50_us,
    "p99": lambda visit: visit.seen.p99_us,
}


def results(scope: Scope, envoy: Path, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Measures, and says what it means."""
    progress.say("latency: starting the direct way, the bare pair and a mesh of two")
    with opened_ways(envoy, folder) as ways:
        for way in ways.values():
            burst(way.entered, way.url, n_connections=max(CONNECTIONS), seconds=_WARM_S)
        rounds = [_round(number, ways, scope, progress) for number in range(scope.n_rounds)]
    return figures(rounds)


def figures(rounds: list[Round]) -> tuple[Result, ...]:
    """What the rounds say."""
    found: list[Result] = []
    pairs: tuple[tuple[WayName, WayName, Goal | None], ...] = (
        ("byway", "bare", _GOAL), ("byway", "direct", None), ("bare", "direct", None),
    )  # fmt: skip
    for n in CONNECTIONS:
        for percentile, reading in _PERCENTILES.items():
            for way, base, goal in pairs:
                name = f"pair_{percentile}_{way}_to_{base}_c{n}"
                found.append(_ratio(rounds, name, n, reading, (way, base), goal, "µs"))
    for n in CONNECTIONS:
        name = f"pair_cpu_byway_to_bare_c{n}"
        found.append(
            _ratio(
                rounds, name, n, lambda visit: visit.proxy_ms_per_1000, ("byway", "bare"), None, "ms per 1,000 requests"
            )
        )
    return (*found, _added(rounds, "byway"), _added(rounds, "bare"), *(_rate(rounds, way) for way in WAYS))


def _ratio(
    rounds: list[Round],
    name: str,
    n: int,
    reading: Reading,
    pair: tuple[WayName, WayName],
    goal: Goal | None,
    unit: str,
) -> Result:
    way, base = pair
    ratios = Sample.of([reading(seen[way, n]) / reading(seen[base, n]) for seen in rounds])
    within = f", {sum(map(goal.is_met, ratios.values))} of {len(rounds)} within the goal" if goal else ""
    absolute = " : ".join(figure(_median(rounds, one, n, reading)) for one in pair)
    how = _HOW.format(n=n, s="" if n == 1 else "s")
    if "cpu" in name:
        how = f"processor time of the two proxies by the scheduler's clock, {n} connection{'' if n == 1 else 's'}; median ratio"
    return Result(
        name=name,
        value=round(ratios.median, 3),
        unit="×",
        goal=goal,
        how=how,
        detail=f"{absolute} {unit}; rounds {ratios.spread}{within}",
        group=GROUP,
    )


def _added(rounds: list[Round], way: WayName) -> Result:
    p50 = _PERCENTILES["p50"]
    added = Sample.of([(p50(seen[way, 1]) - p50(seen["direct", 1])) / 1000 for seen in rounds])
    return Result(
        name=f"pair_p50_added_ms_{way}",
        value=round(added.median, 3),
        unit="ms",
        how="p50 less the direct way's p50, one connection; median over the rounds",
        detail=f"rounds {added.spread}",
        group=GROUP,
    )


def _rate(rounds: list[Round], way: WayName) -> Result:
    most = max(CONNECTIONS)
    rates = Sample.of([seen[way, most].seen.rate for seen in rounds])
    return Result(
        name=f"pair_rate_{way}",
        value=round(rates.median),
        unit="requests/s",
        how=f"wrk, {most} connections, caller, proxies and server on the same cores; median over the rounds",
        detail=f"rounds {rates.spread}",
        group=GROUP,
    )


def _median(rounds: list[Round], way: WayName, n: int, reading: Reading) -> float:
    return Sample.of([reading(seen[way, n]) for seen in rounds]).median


def _round(number: int, ways: dict[WayName, Way], scope: Scope, progress: Progress) -> Round:
    seen: Round = {}
    for n in CONNECTIONS:
        for turn in range(len(WAYS)):
            name = WAYS[(turn + number) % len(WAYS)]
            seen[name, n] = visit(ways[name], n, scope.burst_s)
    told = ", ".join(f"{name} {figure(seen[name, 1].seen.p50_us)}" for name in WAYS)
    progress.say(f"latency, round {number + 1} of {scope.n_rounds}; p50 at one connection in µs: {told}")
    return seen


def visit(way: Way, n_connections: int, seconds: float) -> Visit:
    """One burst over a way."""
    before = sum(map(processor_seconds, way.proxies))
    seen = burst(way.entered, way.url, n_connections=n_connections, seconds=seconds)
    return Visit(seen, sum(map(processor_seconds, way.proxies)) - before)
