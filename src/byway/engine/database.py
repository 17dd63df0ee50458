"""The database: inputs are set from outside, queries are answered from memos, roots are watched.

It belongs to one thread. What it does is explained where it is done: writing in `invalidation`, reading in `fetch`
and `verify`, forgetting in `discard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, TypeVarTuple

from msgspec import Struct

from byway.engine import discard
from byway.engine.cutoff import is_same
from byway.engine.errors import NotSubscribed, QueryInsideWrite, WriteInsideQuery
from byway.engine.fetch import fetch
from byway.engine.input import AnyInput, Cell, Input, unread, write_unread
from byway.engine.invalidation import invalidate
from byway.engine.memo import CLEAN, NOTHING, Memo, Node
from byway.engine.query import AnyQuery, Query
from byway.engine.revision import NEVER
from byway.engine.state import State
from byway.engine.subscription import Root, Subscription

if TYPE_CHECKING:
    from byway.engine.event import Event
    from byway.engine.memo import Arguments

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

InputKey: TypeAlias = tuple[AnyInput, Any]
Dependency: TypeAlias = "InputKey | tuple[AnyQuery, Arguments]"


class Statistics(Struct, frozen=True):
    """How much one query has done in one database.

    Times, in seconds, are kept where the database has a timer, and are without those of the queries below.
    """

    n_memos: int
    n_computed: int
    n_reused: int
    n_cut_off: int
    seconds: float = 0.0
    slowest_s: float = 0.0
    slowest: str = ""
    """The call that took longest."""


class Database(State):
    """Input cells and the memos of the queries over them."""

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        *,
        strict: bool = False,
        on_event: Callable[[Event], None] | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None:
        """`timer` tells seconds, from wherever; without one, no time is kept."""
        super().__init__(strict=strict, on_event=on_event, timer=timer)

    # Writing

    def set(self, cell: Input[K, V], key: K, value: V) -> None:
        """Write one cell. An equal value changes nothing; another one starts a revision, or joins the open batch."""
        self._refuse_inside_query("set an input")
        table = self.cells.get(cell)
        node = None if table is None else table.get(key)
        if is_same(unread(self, cell, key) if node is None else node.value, value):
            return
        kept = cell.default if is_same(cell.default, value) else value
        if not (self.n_writers and self.is_revised):
            self.revision += 1
            self.is_revised = True
        if node is None:
            write_unread(self, cell, key, kept)
            return
        node.value = kept
        node.changed_at = self.revision
        if not node.dependants:
            self.loose[node] = None
        invalidate(self, node)

    def remove(self, cell: Input[K, V], key: K) -> None:
        """Forget one cell: it reads as the default again."""
        self.set(cell, key, cell.default)

    @contextmanager
    def write(self) -> Iterator[None]:
        """A batch: all that is set inside the block is one revision. An error undoes nothing that was set before it."""
        self._refuse_inside_query("open a batch")
        if not self.n_writers:
            self.is_revised = False
        self.n_writers += 1
        self.is_attentive = True
        try:
            yield
        finally:
            self.n_writers -= 1
            self.is_attentive = bool(self.strict or self.on_event is not None or self.n_writers)

    # Watching

    def subscribe(self, query: Query[*Ts, R], *args: *Ts) -> Root:
        """Hold a root; every holder gives it back once. Nothing is computed: a value not known yet is a change."""
        self._refuse_inside_query("subscribe")
        memo = self.memo(query, args)
        if memo.subscription is None:
            memo.subscription = Subscription(self.n_subscribed)
            self.n_subscribed += 1
            if memo.state == CLEAN:
                memo.subscription.is_news(memo.value)
            else:
                self.pending[memo] = None
        memo.subscription.n_holders += 1
        return Root(query, args)

    def unsubscribe(self, query: Query[*Ts, R], *args: *Ts) -> None:
        """Give a root back; the last holder's going leaves it to the next sweep."""
        self._refuse_inside_query("unsubscribe")
        memo = self.memos.get(query, {}).get(args)
        if memo is None or memo.subscription is None:
            raise NotSubscribed(f"{query.call_text(args)} is held by nobody; unsubscribe once for each subscribe")
        memo.subscription.n_holders -= 1
        if not memo.subscription.n_holders:
            memo.subscription = None
            self.pending.pop(memo, None)
            self.loose[memo] = None

    def changed(self) -> list[Root]:
        """The roots whose value differs from what this method last told, in the order of their subscription.

        A root that raises is reported too, and `Root.value` raises it again: no root keeps another from being reported.
        """
        self._refuse_inside_query("ask what changed")
        self._refuse_inside_write("what changed")
        reported: dict[Root, None] = {}
        while self.pending:
            for memo in sorted(self.pending, key=_order):
                value = self._outcome(memo)
                del self.pending[memo]
                if memo.subscription is not None and memo.subscription.is_news(value):
                    reported[Root(memo.query, memo.arguments)] = None
        return list(reported)

    def _outcome(self, memo: Memo) -> Any:
        """The value that the memo has now; NOTHING if it has none, because its query raises."""
        try:
            if memo.state != CLEAN:
                fetch(self, memo)
        except Exception:  # noqa: BLE001  # not lost: the root is reported, and its value raises it where it is wanted
            return NOTHING
        return memo.value

    # Explaining

    def dependencies(self, query: Query[*Ts, R], *args: *Ts) -> tuple[Dependency, ...]:
        """What the query reads itself, in the order of reading: (input, key) or (query, args). Brings it up to date."""
        return tuple(node.key for node in self._fresh(query, args).reads)

    def inputs_of(self, query: Query[*Ts, R], *args: *Ts) -> frozenset[InputKey]:
        """Every input cell that the value rests on, by whatever way. Brings the query up to date."""
        found: set[InputKey] = set()
        seen: set[Node] = set()
        stack: list[Node] = [self._fresh(query, args)]
        while stack:
            node = stack.pop()
            if isinstance(node, Cell):
                found.add(node.key)
            elif isinstance(node, Memo):
                fresh = [read for read in node.reads if read not in seen]
                seen.update(fresh)
                stack.extend(fresh)
        return frozenset(found)

    def _fresh(self, query: AnyQuery, args: Arguments) -> Memo:
        self._refuse_inside_query("ask for dependencies")
        memo = self.memo(query, args)
        if memo.state != CLEAN or self.n_writers:
            fetch(self, memo)
        return memo

    def statistics(self) -> dict[AnyQuery, Statistics]:
        """What each query has done so far; discarded memos are still counted in all but `n_memos`."""
        return {
            query: Statistics(
                n_memos=len(self.memos[query]),
                n_computed=counts.n_computed,
                n_reused=counts.n_reused,
                n_cut_off=counts.n_cut_off,
                seconds=counts.seconds,
                slowest_s=counts.slowest_s,
                slowest=query.call_text(counts.slowest) if counts.slowest_s else "",
            )
            for query, counts in self.counts.items()
        }

    @property
    def n_roots(self) -> int:
        """How many roots are held; it looks at every memo."""
        return sum(memo.subscription is not None for memos in self.memos.values() for memo in memos.values())

    # Forgetting

    def sweep(self) -> int:
        """Discard the memos that no subscribed root leads to; how many they were."""
        self._refuse_inside_query("sweep")
        return discard.sweep(self)

    def _refuse_inside_query(self, deed: str) -> None:
        if self.active:
            raise WriteInsideQuery(
                f"{self.active[-1]} tried to {deed}; a query only reads: return the value, and let the caller do it"
            )

    def _refuse_inside_write(self, question: str) -> None:
        if self.n_writers:
            raise QueryInsideWrite(f"{question} was asked while a batch is half written; ask after the `with` block")


def _order(memo: Memo) -> int:
    return NEVER if memo.subscription is None else memo.subscription.order
