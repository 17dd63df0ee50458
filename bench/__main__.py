"""`python -m bench [--quick]`: measures, tells on the terminal how far it is, and writes the page and the stored run.

`BYWAY_BENCH_QUICK=1` or `QUICK=1` in the environment mean `--quick`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final

from bench import fleet, latency
from bench.machine import after_run, processor_time, this_machine
from bench.page import LATEST, PAGE, ROOT, Run, write
from bench.process import BenchFailed
from bench.result import Result, figure
from bench.scope import FULL, QUICK, Progress, Scope
from byway.agent.binary import envoy_binary
from byway.base.errors import BywayError

_FOLDER: Final = "byway-bench-"
_OLD_S: Final = 3600.0


def main() -> int:
    """The whole run; 0 also where a goal was missed, 1 where something could not be measured."""
    unknown = set(sys.argv[1:]) - {"--quick"}
    if unknown:
        return _complain(f"unknown argument {min(unknown)} (there is --quick)", 2)
    if os.geteuid() != 0:
        return _complain("needs root: network namespaces and iptables", 1)
    if shutil.which("wrk") is None:
        return _complain("needs wrk (apt-get install wrk)", 1)
    asked = "--quick" in sys.argv or any(os.environ.get(name) for name in ("QUICK", "BYWAY_BENCH_QUICK"))
    signal.signal(signal.SIGTERM, _ended)
    try:
        return _measured(QUICK if asked else FULL)
    except (BenchFailed, BywayError) as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return 130


def _measured(scope: Scope) -> int:
    progress = Progress()
    envoy = envoy_binary("", os.environ)
    machine, ticks = this_machine(_version(envoy)), processor_time()
    _remove_old_folders()
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Envoys run as a user of their own, and read their configuration here
        results = (*latency.results(scope, envoy, folder, progress), *fleet.results(scope, folder, progress))
    write(Run(machine=after_run(machine, ticks), scope=scope, seconds=progress.seconds, results=results))
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
