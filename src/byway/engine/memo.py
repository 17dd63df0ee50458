"""The graph: nodes that were read, and memos, the nodes that also read others.

An edge is kept in both directions. `reads` goes from a memo down to what it read, in the order of reading, and serves
verification; `dependants` goes up from a node to the memos that read it, and serves invalidation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from byway.engine.revision import NEVER

if TYPE_CHECKING:
    from byway.engine.query import AnyQuery
    from byway.engine.state import State
    from byway.engine.subscription import Subscription

Arguments: TypeAlias = tuple[Any, ...]
Dependants: TypeAlias = "tuple[Memo, ...] | set[Memo]"
"""Most nodes have one or two, and a set of one is as large as the rest of the graph around it: a tuple while they are few."""

_FEW: Final = 8

# The states of a node. The order matters: invalidation enters those up to FAILED, and a read is answered at once
# only from CLEAN, which is 0 so that the test is a test of truth.
CLEAN: Final = 0  # its value is right in this revision
FAILED: Final = 1  # its last attempt raised, and nothing that it read has changed since: a read tries again
STALE: Final = 2  # something below it may have changed; so may everything above it
ACTIVE: Final = 3  # it is being verified or executed right now: whoever reads it closes a cycle


class Nothing:
    """The type of the value of a memo that has never been computed."""

    __slots__ = ()


NOTHING: Final = Nothing()


class Counts:
    """What was done for all memos of one query in one database. Times are without those of the queries below."""

    __slots__ = ("n_computed", "n_cut_off", "n_reused", "seconds", "slowest", "slowest_s")

    def __init__(self) -> None:
        self.n_computed = 0
        self.n_cut_off = 0
        self.n_reused = 0
        self.seconds = 0.0
        self.slowest: Arguments = ()  # of the run that took `slowest_s`
        self.slowest_s = 0.0

    def ran(self, arguments: Arguments, seconds: float) -> None:
        """A run took so long."""
        self.seconds += seconds
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, arguments


class Node:
    """Something that a query can read."""

    __slots__ = ("changed_at", "dependants", "state", "value")

    def __init__(self, state: int, value: Any, changed_at: int) -> None:
        self.state = state
        self.value = value
        self.changed_at = changed_at  # the revision in which `value` last became a different one
        self.dependants: Dependants = ()  # exactly the memos whose `reads` hold this node

    @property
    def key(self) -> tuple[Any, Any]:
        """The public name: (input, key) or (query, arguments)."""
        raise AttributeError(f"{type(self).__name__} has no public name")

    def gain(self, memo: Memo) -> None:
        """Note a memo, not noted before, that reads this node."""
        dependants = self.dependants
        if isinstance(dependants, set):
            dependants.add(memo)
        elif len(dependants) < _FEW:
            self.dependants = (*dependants, memo)
        else:
            self.dependants = {*dependants, memo}

    def lose(self, memo: Memo) -> None:
        """Note that the memo reads this node no more."""
        dependants = self.dependants
        if isinstance(dependants, tuple):
            self.dependants = tuple(other for other in dependants if other is not memo)
        elif len(dependants) > 1:
            dependants.discard(memo)
        else:
            self.dependants = ()

    def drop(self, state: State) -> bool:
        """Forget this node, which nobody reads; says whether it was a memo that is gone now."""
        raise AttributeError(f"{type(self).__name__} cannot be dropped from {state!r}")


class Memo(Node):
    """The remembered value of one query for one tuple of arguments."""

    __slots__ = ("arguments", "counts", "must_run", "query", "reads", "subscription", "verified_at")

    def __init__(self, query: AnyQuery, arguments: Arguments, counts: Counts) -> None:
        super().__init__(STALE, NOTHING, NEVER)
        self.query = query
        self.arguments = arguments
        self.counts = counts
        self.reads: tuple[Node, ...] = ()  # without repetition, in the order of the first reading
        self.verified_at = NEVER  # the revision in which `value` was last known to follow from `reads`
        self.must_run = True  # `value` does not follow from `reads`: never run, or the last run raised
        self.subscription: Subscription | None = None  # there while somebody holds this memo as a root

    @property
    def key(self) -> tuple[AnyQuery, Arguments]:
        return self.query, self.arguments

    def drop(self, state: State) -> bool:
        if self.subscription is not None:
            return False
        del state.memos[self.query][self.arguments]
        self.record(state, {})
        return True

    def record(self, state: State, reads: dict[Node, None]) -> None:
        """Replace the reads by those of the latest run, in both directions."""
        after = tuple(reads)
        before = self.reads
        if after == before:
            return
        self.reads = after
        for node in before:
            if node not in reads:
                node.lose(self)
                if not node.dependants:
                    state.loose[node] = None
        known = frozenset(before)
        for node in after:
            if node not in known:
                node.gain(self)

    def __str__(self) -> str:
        return self.query.call_text(self.arguments)
