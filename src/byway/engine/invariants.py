"""What always holds between two calls, in one place: tests ask for it after every step."""

from __future__ import annotations

from collections.abc import Iterator

from byway.engine.memo import CLEAN, NOTHING, STALE, Memo, Node
from byway.engine.state import State


def broken_invariants(state: State) -> list[str]:
    """A sentence for each invariant that does not hold; empty for a sound database."""
    nodes = _nodes(state)
    broken = list(_of_rest(state))
    for node in nodes:
        broken += _of_node(state, node, nodes)
        if isinstance(node, Memo):
            broken += _of_memo(state, node, nodes)
    return broken


def _nodes(state: State) -> set[Node]:
    cells = {cell for table in state.cells.values() for cell in table.values()}
    memos = {memo for table in state.memos.values() for memo in table.values()}
    return {*cells, *memos}


def _of_rest(state: State) -> Iterator[str]:
    if state.active or state.reads is not None or state.failure is not None:
        yield "a query is still running"
    for table, values in state.unread.items():
        for key, value in values.items():
            if value is table.default or key in state.cells.get(table, {}):
                yield f"{table}[{key!r}] is kept beside its cell, or though it is the default"
    if state.n_writers == 0 and state.is_attentive != (state.strict or state.on_event is not None):
        yield "the hot path is not what it should be"


def _of_node(state: State, node: Node, nodes: set[Node]) -> Iterator[str]:
    if node.changed_at > state.revision:
        yield f"{node.key} changed in the future"
    if len(set(node.dependants)) != len(node.dependants):
        yield f"{node.key} believes to be read twice by one memo"
    for memo in node.dependants:
        if memo not in nodes:
            yield f"{node.key} is read by {memo}, which is gone"
        if node not in memo.reads:
            yield f"{node.key} believes to be read by {memo}"
        if node.state == STALE and memo.state == CLEAN:
            yield f"{memo} is clean above {node.key}, which is stale"
    if not node.dependants and node not in state.loose and _is_droppable(node):
        yield f"{node.key} can be dropped, but the next sweep will not look at it"


def _is_droppable(node: Node) -> bool:
    return not isinstance(node, Memo) or node.subscription is None


def _of_memo(state: State, memo: Memo, nodes: set[Node]) -> Iterator[str]:
    if len(set(memo.reads)) != len(memo.reads):
        yield f"{memo} has recorded a read twice"
    for node in memo.reads:
        if node not in nodes:
            yield f"{memo} reads {node.key}, which is gone"
        if memo not in node.dependants:
            yield f"{node.key} does not know that {memo} reads it"
        if memo.state == CLEAN and (node.state != CLEAN or node.changed_at > memo.verified_at):
            yield f"{memo} is clean, but {node.key} below it is not, or has changed since"
    if memo.state == CLEAN and (memo.must_run or memo.value is NOTHING):
        yield f"{memo} is clean without a value of its own"
    if memo.state == STALE and memo.subscription is not None and memo not in state.pending:
        yield f"{memo} is a stale root that nobody will look at"
    if memo.must_run and memo.reads and not state.has_failed:
        yield f"{memo} may be part of a ring that the next sweep would miss"
