"""`python -m bench [--quick] [GROUP…]`: measures, tells on the terminal how far it is, and writes the page and the stored run.

Without a group all are measured. What the groups that are left out had in the stored run is kept. `BYWAY_BENCH_QUICK=1` or
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
from pathlib import Path
from types import FrameType
from typing import Final

from bench import convergence, cost, edits, fleet, growth, latency, mass, prover, push, sidecars
from bench.machine import after_run, processor_time, this_machine
from bench.page import LATEST, PAGE, ROOT, Run, stored, write
from bench.process import BenchFailed
from bench.result import Result, figure
from bench.scope import FULL, QUICK, Progress, Scope
from byway.agent.binary import envoy_binary
from byway.base.errors import BywayError

_FOLDER: Final = "byway-bench-"
_OLD_S: Final = 3600.0
_WITH_ROOT: Final = ("latency", "cost", "fleet", "sidecars", "edits")
_SCALE: Final = ("growth", "prover", "push", "memory", "churn", "convergence")
GROUPS: Final = (*_WITH_ROOT, *_SCALE)


def main() -> int:
    """The whole run; 0 also where a goal was missed, 1 where something could not be measured."""
    named = [argument for argument in sys.argv[1:] if argument != "--quick"]
    unknown = set(named) - {*GROUPS, "scale"}
    if unknown:
        known = ", ".join(GROUPS)
        return _complain(
            f"unknown argument {min(unknown)} (there are --quick, {known}, and scale for the last {len(_SCALE)})", 2
        )
    groups = tuple(g for g in GROUPS if not named or g in named or (g in _SCALE and "scale" in named))
    if set(groups) & set(_WITH_ROOT):
        if os.geteuid() != 0:
            return _complain("needs root: network namespaces and iptables", 1)
        if shutil.which("wrk") is None:
            return _complain("needs wrk (apt-get install wrk)", 1)
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
    machine, ticks = this_machine(_version(envoy)), processor_time()
    _remove_old_folders()
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Envoys run as a user of their own, and read their configuration here
        measures: dict[str, Callable[[], tuple[Result, ...]]] = {
            "latency": lambda: latency.results(scope, envoy, folder, progress),
            "cost": lambda: cost.results(scope, envoy, folder, progress),
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
    write(Run(machine=after_run(machine, ticks), scope=scope, seconds=progress.seconds, results=results, kept=kept))
    for result in results:
        sys.stdout.write(_line(result) + "\n")
    progress.say(f"written: {PAGE.relative_to(ROOT)} and {LATEST.relative_to(ROOT)}")
    return 0


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
