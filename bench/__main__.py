"""`python -m bench [--quick] [GROUP…]`: measures, tells on the terminal how far it is, and writes the page and the stored run.

Without a group all are measured but `cost` and `instructions`, which take long and tell where to look rather than
whether a goal is met. What the groups that are left out had in the stored run is kept. `BYWAY_BENCH_QUICK=1` or
`QUICK=1` in the environment mean `--quick`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from bench import convergence, cost, edits, fleet, growth, instructions, latency, mass, prover, push, sidecars
from bench.machine import after_run, processor_time, this_machine
from bench.page import LATEST, PAGE, ROOT, Run, stored, write
from bench.process import BenchFailed
from bench.result import Result, figure
from bench.scope import FULL, QUICK, Progress, Scope
from byway.agent.binary import envoy_binary
from byway.base.errors import BywayError

_FOLDER: Final = "byway-bench-"
_OLD_S: Final = 3600.0
_PIECES: Final = ("cost", "instructions")
_WITH_ROOT: Final = ("latency", *_PIECES, "fleet", "sidecars", "edits")
_SCALE: Final = ("growth", "prover", "push", "memory", "churn", "convergence")
GROUPS: Final = (*_WITH_ROOT, *_SCALE)


_WHAT: Final = {
    "latency": ("a sidecar pair beside a bare pair and none: p50, p99, rate, processor time", "4 min"),
    "cost": ("where a pair's time goes, piece by piece", "long: each piece in turn"),
    "instructions": ("where a pair's instructions go, counted by valgrind", "long: valgrind is slow"),
    "fleet": ("the demo's fleet: memory, what a change costs, first calls", "1 min"),
    "sidecars": ("a sidecar's memory and start by the size of the mesh, lazy and eager", "4 min"),
    "edits": ("random writes under load: no request may fail", "5 min"),
    "growth": ("what a start and a change cost by the size of the mesh", "1 or 2 min"),
    "prover": ("what Envoy's proof adds to a write", "a few minutes"),
    "push": ("one change to 1,000 proxies, beside a bare gRPC server; cold start, restart", "1 or 2 min"),
    "memory": ("memory and start of a control plane with 10,000 services", "1 min"),
    "churn": ("endpoints that come and go, 100 a second, for ten minutes", "11 min"),
    "convergence": ("random sequences of edits and failures end in the right state", "1 min"),
}
"""What each group measures, and how long it takes on two cores, roughly."""


def main() -> int:
    """The whole run; 0 also where a goal was missed, 1 where something could not be measured."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(_help())
        return 0
    named = [argument for argument in sys.argv[1:] if argument != "--quick"]
    unknown = set(named) - {*GROUPS, "scale"}
    if unknown:
        known = ", ".join(GROUPS)
        return _complain(
            f"unknown argument {min(unknown)} (there are --quick, {known}, and scale for the last {len(_SCALE)})", 2
        )
    groups = tuple(
        group for group in GROUPS
        if group in named or (group in _SCALE and "scale" in named) or (not named and group not in _PIECES)
    )  # fmt: skip
    if set(groups) & set(_WITH_ROOT):
        if os.geteuid() != 0:
            return _complain("needs root: network namespaces and iptables", 1)
        if shutil.which("wrk") is None:
            return _complain("needs wrk (apt-get install wrk)", 1)
        if "instructions" in groups and shutil.which("valgrind") is None:
            return _complain("needs valgrind (apt-get install valgrind)", 1)
    asked = "--quick" in sys.argv or any(os.environ.get(name) for name in ("QUICK", "BYWAY_BENCH_QUICK"))
    signal.signal(signal.SIGTERM, _ended)
    try:
        return _measured(QUICK if asked else FULL, groups)
    except (BenchFailed, BywayError) as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return 130


def _measured(scope: Scope, groups: tuple[str, ...]) -> int:
    progress = Progress()
    envoy = envoy_binary("", os.environ)
    began = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    machine, ticks = this_machine(_version(envoy)), processor_time()
    _remove_old_folders()
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Envoys run as a user of their own, and read their configuration here
        measures: dict[str, Callable[[], tuple[Result, ...]]] = {
            "latency": lambda: latency.results(scope, envoy, folder, progress),
            "cost": lambda: cost.results(scope, envoy, folder, progress),
            "instructions": lambda: instructions.results(scope, envoy, folder, progress),
            "fleet": lambda: fleet.results(scope, folder, progress),
            "edits": lambda: edits.results(scope, folder, progress),
            "sidecars": lambda: sidecars.results(scope, envoy, folder, progress),
            "growth": lambda: growth.results(scope, progress),
            "prover": lambda: prover.results(scope, progress),
            "push": lambda: push.results(scope, progress),
            "memory": lambda: mass.memory(scope, folder, progress),
            "churn": lambda: mass.churn(scope, progress),
            "convergence": lambda: convergence.results(scope, progress),
        }
        results = tuple(result for group in groups for result in measures[group]())
    kept = stored() if groups != GROUPS else ()
    after = after_run(machine, ticks)
    write(Run(machine=after, scope=scope, seconds=progress.seconds, began=began, results=results, kept=kept))
    for result in results:
        sys.stdout.write(_line(result) + "\n")
    progress.say(f"written: {PAGE.relative_to(ROOT)} and {LATEST.relative_to(ROOT)}")
    return 0


def _help() -> str:
    groups = [f"  {group:<14}{what} ({how_long})" for group, (what, how_long) in _WHAT.items()]
    lines = [
        "Usage: python -m bench [--quick] [GROUP…]",
        "",
        f"Measures, and writes {PAGE.relative_to(ROOT)} and {LATEST.relative_to(ROOT)}; what is not measured is kept.",
        f"Without a GROUP all but {' and '.join(_PIECES)}.",
        "",
        "Groups, and how long they take on two cores, roughly:",
        *groups,
        f"  {'scale':<14}{', '.join(_SCALE)}",
        "",
        "  --quick       a smaller mesh and shorter runs; also QUICK=1 in the environment",
        "",
        f"{', '.join(_WITH_ROOT)} need root and wrk, instructions valgrind as well.",
    ]
    return "\n".join(lines) + "\n"


def _remove_old_folders() -> None:
    """What a killed run left; a run that still goes on is younger."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        if time.time() - path.stat().st_mtime > _OLD_S:
            shutil.rmtree(path, ignore_errors=True)


def _line(result: Result) -> str:
    goal = f"goal ≤ {figure(result.goal.at_most)}: {result.verdict}" if result.goal else ""
    return f"{result.name:34} {figure(result.value):>9} {result.unit:12} {goal:22} {result.detail}".rstrip()


def _version(envoy: Path) -> str:
    text = subprocess.run([str(envoy), "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return text.partition("version: ")[2].split("/")[1]


def _ended(_: int, __: FrameType | None) -> None:
    """A polite end is Ctrl-C: everything that was opened is closed on the way out."""
    raise KeyboardInterrupt


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"bench: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
