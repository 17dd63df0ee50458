"""Bursts while the machine is left to the bench: differences of a hundredth drown in what others do on the same cores.

A burst waits a little for a quiet machine, and is repeated when others used more than a little of it meanwhile. On a
machine that is never quiet the least disturbed of some bursts is taken. What is measured goes before other work
(`preferred`), so that that costs it caches, but hardly its turn.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from bench.latency import Visit, visit
from bench.machine import ProcessorTime, processor_time
from bench.process import processor_seconds
from bench.ways import Way

_QUIET: Final = 0.1
"""Cores that others may use."""
_LOOK_S: Final = 0.2
_PATIENCE_S: Final = 2.0
_N_TRIES: Final = 3
_NICENESS: Final = -10


class Quiet(msgspec.Struct, frozen=True):
    """A burst, and how many cores others used meanwhile."""

    visit: Visit
    disturbed: float

    @property
    def is_quiet(self) -> bool:
        """Whether it was left alone."""
        return self.disturbed <= _QUIET


@contextlib.contextmanager
def preferred() -> Iterator[None]:
    """Whatever is started in it goes before other work of the machine."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def quiet_visit(way: Way, n_connections: int, seconds: float) -> Quiet:
    """One burst over a way, the least disturbed of some."""
    least: Quiet | None = None
    for _ in range(_N_TRIES):
        _wait_for_quiet()
        found = _watched(way, n_connections, seconds)
        if least is None or found.disturbed < least.disturbed:
            least = found
        if least.is_quiet:
            break
    assert least is not None, "there is at least one try"
    return least


def _watched(way: Way, n_connections: int, seconds: float) -> Quiet:
    pids = (*way.proxies, way.application)
    began, busy, own = time.monotonic(), processor_time(), _children_s() + sum(map(processor_seconds, pids))
    seen = visit(way, n_connections, seconds)
    ours = _children_s() + sum(map(processor_seconds, pids)) - own
    others = processor_time().busy_seconds_since(busy) - ours
    return Quiet(seen, max(0.0, others) / (time.monotonic() - began))


def _wait_for_quiet() -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while _busy_cores() > _QUIET and time.monotonic() < deadline:
        pass


def _busy_cores() -> float:
    before: ProcessorTime = processor_time()
    time.sleep(_LOOK_S)
    return processor_time().busy_seconds_since(before) / _LOOK_S


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
