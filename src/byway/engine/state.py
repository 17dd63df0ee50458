"""What a database remembers between two calls: the tables of nodes, and where evaluation stands.

Only the steps of the engine touch these fields. `Database` adds the operations that others may use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from byway.engine.memo import Arguments, Counts, Memo, Node
from byway.engine.revision import START

if TYPE_CHECKING:
    from byway.engine.event import Event
    from byway.engine.input import AnyInput, Cell
    from byway.engine.query import AnyQuery


class State:
    """The fields that the steps share; invariants stand beside each."""

    __slots__ = (
        "active",
        "cells",
        "counts",
        "failure",
        "has_failed",
        "is_attentive",
        "is_revised",
        "loose",
        "memos",
        "n_subscribed",
        "n_writers",
        "on_event",
        "pending",
        "reads",
        "rechecked",
        "revision",
        "spent",
        "strict",
        "timer",
        "unread",
    )

    def __init__(
        self, *, strict: bool, on_event: Callable[[Event], None] | None, timer: Callable[[], float] | None
    ) -> None:
        self.strict = strict
        self.timer = timer
        self.spent = 0.0  # seconds that the queries below the running one have taken so far
        self.on_event = on_event
        self.is_attentive = strict or on_event is not None  # a read of a clean memo must take the long way
        self.revision = START

        self.cells: dict[AnyInput, dict[Any, Cell]] = {}  # of the keys that a query has read
        self.unread: dict[AnyInput, dict[Any, Any]] = {}  # what was written under other keys, but for defaults
        self.memos: dict[AnyQuery, dict[Arguments, Memo]] = {}
        self.counts: dict[AnyQuery, Counts] = {}  # same keys as `memos`

        self.active: list[Memo] = []  # the way from the outermost query to the innermost; empty outside of queries
        self.failure: BaseException | None = None  # what was raised below the running query; None outside of queries
        self.reads: dict[Node, None] | None = None  # what the running query has read, until a failure; None outside
        self.rechecked: set[Memo] = set()  # strict mode: those already compared during this outermost read

        self.n_writers = 0  # how many `write` blocks are open, one within the other
        self.is_revised = False  # whether the open batch has changed something, and so has its revision

        self.n_subscribed = 0  # how many subscriptions there ever were, to number them
        self.pending: dict[Memo, None] = {}  # the roots that may differ from what was last reported
        self.loose: dict[Node, None] = {}  # holds every node without dependants that a sweep may drop
        self.has_failed = False  # whether there may be a memo whose last run raised: without one, reads form no ring

    def memo(self, query: AnyQuery, arguments: Arguments) -> Memo:
        """The memo for this call; a new one if there is none yet."""
        table = self.memos.get(query)
        if table is None:
            table = self.memos[query] = {}
            self.counts[query] = Counts()
        memo = table.get(arguments)
        if memo is None:
            memo = table[arguments] = Memo(query, arguments, self.counts[query])
            self.loose[memo] = None
        return memo
