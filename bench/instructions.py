"""What each piece costs in instructions: each pair is run under valgrind's callgrind, which counts those of Envoy's worker.

Slow and artificial, and the one figure that other work on the machine cannot move: the same configuration needs the same
instructions to some tenths of a per cent. It knows nothing of the kernel's part of a request, which is the same for all
pairs, nor of caches; `bench.cost` has the processor time.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

from bench import caller
from bench.ground import ground
from bench.pairs import TOLD, live_pair, pairs
from bench.pieces import PIECES, Piece
from bench.process import BenchFailed, output
from bench.result import Result, figure
from bench.scope import Progress, Scope
from bench.sink import sink
from bench.ways import Pair, bare_pair, server_command, tried

GROUP: Final = "What each piece of a sidecar pair costs, in instructions"
_HOW: Final = "instructions of both workers for a request (valgrind), as a share of the bare pair's"
_TOTALS: Final = "totals:"
_MAIN_THREAD: Final = "-01"
_LIMIT_S: Final = 600.0
_START_S: Final = 240.0
Count = tuple[float, float]


def results(scope: Scope, envoy: Path, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Counts, and says what it means."""
    return figures(counted(scope, envoy, folder, progress, PIECES))


def counted(scope: Scope, envoy: Path, folder: Path, progress: Progress, pieces: tuple[Piece, ...]) -> dict[str, Count]:
    """For each pair the instructions for a request, of the caller's sidecar and of the server's."""
    application = server_command(envoy, folder)
    found = {}
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(ground())
        agent = stack.enter_context(sink(folder / "agent.sock"))
        with contextlib.ExitStack() as of_mesh:
            _, twin = live_pair(of_mesh, application, folder, agent)
        for pair in (bare_pair(own, folder), *pairs(own, folder, twin, pieces)):
            found[pair.name] = _counted(pair, application, envoy, scope.n_counted_requests)
            told = " + ".join(map(figure, found[pair.name]))
            progress.say(f"instructions for a request, {pair.name}: {told}")
    return found


def figures(found: dict[str, Count]) -> tuple[Result, ...]:
    """What the counts say."""
    bare = sum(found["bare"])
    told = [
        Result(
            name=f"instructions_{name}_to_bare", value=round(sum(found[name]) / bare, 3), unit="×",
            how=f"{what}: {_HOW}", detail=f"{_of_both(found[name])}, bare {_of_both(found['bare'])}", group=GROUP,
        )
        for name, what in TOLD.items() if name in found
    ]  # fmt: skip
    return (*told, *(_cost(found, piece, bare) for piece in PIECES if piece.name in found))


def _cost(found: dict[str, Count], piece: Piece, bare: float) -> Result:
    sign = 1 if piece.way == "out" else -1
    client, server = (
        sign * (whole - changed) for whole, changed in zip(found["whole"], found[piece.name], strict=True)
    )
    return Result(
        name=f"instructions_{piece.name}", value=round(100 * (client + server) / bare, 1), unit="%",
        how=f"{piece.what}: {_HOW}", detail=_of_both((client, server)), group=GROUP,
    )  # fmt: skip


def _of_both(count: Count) -> str:
    return f"caller {count[0]:,.0f}, server {count[1]:,.0f}"


def _counted(pair: Pair, application: tuple[str, ...], envoy: Path, n_requests: int) -> Count:
    folder = pair.client.parent / f"{pair.name}-counts"
    folder.mkdir()
    folder.chmod(0o777)  # Envoy's user writes there
    tool = ("valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/%p")
    with contextlib.ExitStack() as stack:
        way = pair.started(stack, application, envoy, *tool)
        tried({pair.name: way}, _START_S)
        output((*way.entered, sys.executable, caller.__file__, "--kept", str(n_requests), way.url), _LIMIT_S)
    server, client = (_of_worker(folder, pid) / n_requests for pid in way.proxies)
    return client, server


def _of_worker(folder: Path, pid: int) -> int:
    """The instructions of the busiest thread but the main one, from its start to its end."""
    totals = [
        int(line.split()[1])
        for path in folder.glob(f"{pid}-*")
        if not path.name.endswith(_MAIN_THREAD)
        for line in path.read_text().splitlines()
        if line.startswith(_TOTALS)
    ]
    if not totals:
        raise BenchFailed("valgrind has counted nothing")
    return max(totals)
