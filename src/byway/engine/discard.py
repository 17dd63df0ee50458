"""Discard: forget the memos that no root leads to.

Reads form no ring, because a ring of queries has no value. So a memo can be dropped exactly when nobody reads it and
nobody holds it, and dropping it may free what it read: the cost is that of the garbage, not of the graph. The one
exception are the reads of a run that raised, which may close a ring (that may be why it raised); while there is such
a memo, the sweep marks what the roots reach first.
"""

from __future__ import annotations

from byway.engine.event import DidDiscard
from byway.engine.memo import Memo, Node
from byway.engine.state import State


def sweep(state: State) -> int:
    """Drop what can be dropped; the number of memos that went."""
    n_discarded = _sweep_rings(state) if state.has_failed else 0
    loose = state.loose
    while loose:
        node, _ = loose.popitem()
        if not node.dependants and node.drop(state):
            n_discarded += 1
            _report(state, node)
    return n_discarded


def _sweep_rings(state: State) -> int:
    """Drop every memo that no root reaches, rings of failed ones included."""
    reached = _reached(state)
    dropped = [memo for table in state.memos.values() for memo in table.values() if memo not in reached]
    for memo in dropped:
        memo.drop(state)
    for memo in dropped:
        _report(state, memo)
    state.loose = {node: None for node in state.loose if not isinstance(node, Memo) or node in reached}
    state.has_failed = any(isinstance(node, Memo) and node.must_run and node.reads for node in reached)
    return len(dropped)


def _reached(state: State) -> set[Node]:
    held = [memo for table in state.memos.values() for memo in table.values() if memo.subscription is not None]
    reached: set[Node] = set(held)
    stack = held
    while stack:
        for node in stack.pop().reads:
            if node not in reached:
                reached.add(node)
                if isinstance(node, Memo):
                    stack.append(node)
    return reached


def _report(state: State, node: Node) -> None:
    if state.on_event is not None and isinstance(node, Memo):
        state.on_event(DidDiscard(node.query, node.arguments))
