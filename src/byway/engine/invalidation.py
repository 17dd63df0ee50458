"""Invalidation: from a changed node up along the reverse dependencies, marking what may have changed.

The wave stops at what is already stale, because then so is everything above it. What is not reached is not touched:
its memos stay clean and are answered at once. Nothing is computed here.
"""

from __future__ import annotations

from byway.engine.memo import FAILED, STALE, Node
from byway.engine.state import State


def invalidate(state: State, node: Node) -> None:
    """Mark everything above `node` as stale, and note the roots among it."""
    wave = list(node.dependants)
    while wave:
        memo = wave.pop()
        if memo.state > FAILED:
            continue
        memo.state = STALE
        if memo.subscription is not None:
            state.pending[memo] = None
        wave.extend(memo.dependants)
