"""Processes as the bench looks at them: private memory, processor time, children; and the ones it starts itself.

A program that the bench starts is sent SIGTERM by the kernel when the bench dies, however it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_END_S: Final = 60.0
_POLL_S: Final = 0.1


class BenchFailed(Exception):
    """A measurement could not be made; the message says which and why."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    end: signal.Signals = signal.SIGTERM,
    end_s: float = _END_S,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program beside the bench; it is asked to end afterwards, and killed when it does not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
        )
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(end_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(end_s)


def output(command: Sequence[str], limit_s: float, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What a program prints; raises `BenchFailed` with its complaint."""
    try:
        done = subprocess.run(
            list(command), input=stdin, capture_output=True, text=True, timeout=limit_s, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchFailed(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise BenchFailed(f"`{' '.join(command)[:200]}` failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout


def wait(condition: Callable[[], object], limit_s: float, what: str) -> None:
    """Waits until a condition holds, bounded."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchFailed(f"{what} did not come about within {limit_s:.0f} s")
        time.sleep(_POLL_S)


def private_mb(pid: int) -> float:
    """Anonymous resident memory of a process: what it has for itself, without the pages of its binary."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise BenchFailed(f"process {pid} has no RssAnon")


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used, all threads together, by the scheduler's own clock."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end while it is looked at
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def age_s(pid: int) -> float:
    """How long ago a process was started; the kernel keeps it in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def descendants(pid: int) -> tuple[int, ...]:
    """The processes below a process, nearest first."""
    found: list[int] = []
    row = [pid]
    while row:
        row = [child for parent in row for child in _children(parent)]
        found += row
    return tuple(found)


def words(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty when it has gone."""
    try:
        return tuple(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).rstrip("\0").split("\0"))
    except OSError:
        return ()


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found
