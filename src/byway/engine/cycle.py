"""Cycles: a query that needs its own value has none, whichever of its members was asked first."""

from __future__ import annotations

from byway.engine.errors import CycleError
from byway.engine.memo import Memo


def cycle(active: list[Memo], memo: Memo) -> CycleError:
    """The error for reading `memo`, which is itself still on the way to its value."""
    start = active.index(memo)
    return CycleError((*map(str, active[start:]), str(memo)))
