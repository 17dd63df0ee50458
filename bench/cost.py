"""What each piece of Byway's own configuration costs a request, against the bare pair.

A live pair is asked what it holds; static twins of it are started, one whole and one for each piece that it lacks (or has
besides). All stand beside one another, and take their turns in short bursts, in another order in each round. A figure
is made within its round, and the median over the rounds is told, with its standard error.
"""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.ground import ground
from bench.latency import CONNECTIONS, Visit, visit
from bench.pairs import TOLD, live_pair, pairs
from bench.pieces import PIECES, Piece
from bench.quiet import preferred, quiet_visit
from bench.result import Goal, Result, figure
from bench.scope import Progress, Scope
from bench.sink import sink
from bench.ways import Way, bare_pair, server_command, tried

GROUP: Final = "What each piece of a sidecar pair costs"
_GOAL: Final = Goal(1.05)
_WARM_S: Final = 1.0
_SEED: Final = 20
_HOW: Final = f"processor time of both proxies, {max(CONNECTIONS)} connections, the same beside"
_REFERENCES: Final = ("bare", *TOLD)
Round = dict[tuple[str, int], Visit]
Reading = Callable[[Visit], float]
_P50: Final[Reading] = lambda seen: seen.seen.p50_us  # noqa: E731 - one of two readings, named
_CPU: Final[Reading] = lambda seen: seen.proxy_ms_per_1000  # noqa: E731


class Estimate(msgspec.Struct, frozen=True):
    """A median over rounds and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: list[float]) -> Estimate:
        """Of at least two values; the error by the quartiles, which a few bad rounds do not move."""
        lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, 1.2533 * (upper - lower) / 1.349 / len(values) ** 0.5)

    def text(self, *, scale: float = 1.0) -> str:
        """As people read it."""
        return f"{figure(scale * self.value)} ± {figure(scale * self.error)}"


def results(scope: Scope, envoy: Path, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Measures, and says what it means."""
    progress.say("cost: starting the bare pair, a mesh of two, and its twins")
    with opened(envoy, folder, PIECES) as ways:
        progress.say(f"cost: {len(ways)} pairs stand")
        rounds = measured(scope, ways, progress)
    return figures(rounds)


@contextlib.contextmanager
def opened(envoy: Path, folder: Path, pieces: tuple[Piece, ...]) -> Iterator[dict[str, Way]]:
    """The bare pair, the live one, its twin, the twin without anything, and a twin for each piece; each tried and warm."""
    application = server_command(envoy, folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(preferred())
        own = stack.enter_context(ground())
        live, twin = live_pair(stack, application, folder, stack.enter_context(sink(folder / "agent.sock")))
        ways = {"live": live}
        for pair in (bare_pair(own, folder), *pairs(own, folder, twin, pieces)):
            ways[pair.name] = pair.started(stack, application, envoy)
        tried(ways)
        for way in ways.values():
            visit(way, max(CONNECTIONS), _WARM_S)
        yield ways


def measured(scope: Scope, ways: dict[str, Way], progress: Progress) -> list[Round]:
    """All rounds."""
    order = random.Random(_SEED)  # noqa: S311 - turns, not secrets
    rounds = []
    for number in range(scope.n_cost_rounds):
        turns = [(name, n) for name in ways for n in CONNECTIONS]
        order.shuffle(turns)
        found = {(name, n): quiet_visit(ways[name], n, scope.cost_burst_s) for name, n in turns}
        seen = {turn: quiet.visit for turn, quiet in found.items()}
        rounds.append(seen)
        disturbed = sum(not quiet.is_quiet for quiet in found.values())
        told = ", ".join(f"{name} {figure(_CPU(seen[name, max(CONNECTIONS)]))}" for name in _REFERENCES)
        progress.say(
            f"cost, round {number + 1} of {scope.n_cost_rounds}, {disturbed} of {len(turns)} bursts disturbed; "
            f"ms per 1,000 requests at {max(CONNECTIONS)} connections: {told}"
        )
    return rounds


def figures(rounds: list[Round]) -> tuple[Result, ...]:
    """What the rounds say: the references against the bare pair, then each piece as a share of the bare pair."""
    names = {name for name, _ in rounds[0]}
    whole = [_reference(rounds, name, what) for name, what in TOLD.items()]
    return (*whole, *(_cost(rounds, piece) for piece in PIECES if piece.name in names))


def _reference(rounds: list[Round], name: str, what: str) -> Result:
    def share(reading: Reading, n: int) -> Estimate:
        return Estimate.of([reading(seen[name, n]) / reading(seen["bare", n]) for seen in rounds])

    most = max(CONNECTIONS)
    return Result(
        name=f"cost_{name}_to_bare", value=round(share(_CPU, most).value, 3), unit="×",
        goal=_GOAL if name == "live" else None, how=f"{what}, against the bare pair: {_HOW}",
        detail=_detail(share, 1.0), group=GROUP,
    )  # fmt: skip


def _cost(rounds: list[Round], piece: Piece) -> Result:
    sign = 1 if piece.way == "out" else -1

    def share(reading: Reading, n: int) -> Estimate:
        return Estimate.of(
            [
                sign * (reading(seen["whole", n]) - reading(seen[piece.name, n])) / reading(seen["bare", n])
                for seen in rounds
            ]
        )

    most = max(CONNECTIONS)
    return Result(
        name=f"cost_{piece.name}", value=round(100 * share(_CPU, most).value, 2), unit="%",
        how=f"{piece.what}: {_HOW}", detail=_detail(share, 100.0), group=GROUP,
    )  # fmt: skip


def _detail(share: Callable[[Reading, int], Estimate], scale: float) -> str:
    return "; ".join(
        f"{word} {', '.join(f'c{n} {share(reading, n).text(scale=scale)}' for n in CONNECTIONS)}"
        for word, reading in (("p50", _P50), ("CPU", _CPU))
    )
