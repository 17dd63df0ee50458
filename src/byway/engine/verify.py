"""Verify: bring a stale memo up to date, running as few functions as possible.

Theory of operation
-------------------
Invalidation has marked as stale everything that *may* have changed. Verification finds out what *has*. A stale memo
is right if nothing that it read has changed since it was last right, so its reads are looked at one after the other,
in the order in which the function made them:

- a read that is clean and has not changed since is passed over (one comparison of integers);
- a read that is itself not clean is brought up to date first, by the same procedure;
- at the first read that has changed, the function is executed, and the rest of the reads is not looked at;
- after the last read without a change, the memo is right as it stands: it is reused.

The order is what makes this sound. A pure function whose first n reads gave what they gave before will make the same
read next. So verification never asks a query that the function would not ask itself: it cannot run something that is
needed no more, cannot meet an error or a cycle that an execution would not have met, and what it raises is what the
execution would have raised. That is why an error found while verifying is simply passed up.

If a read was executed and its value was equal to the old one, its `changed_at` has stayed where it was, and the
reader passes over it: this is early cutoff, and it needs no code of its own here.

The walk keeps its own stack, `db.active`, with an iterator over the reads of each entry beside it, so a chain of any
length is verified, and executed from its lower end upwards, in constant depth of Python's stack. Only a function that
asks for what is not clean recurses: because nobody had asked it before, or because an earlier read had changed, so that
the rest was not looked at. Such a level costs six entries of Python's stack, hence some 160 levels under the
interpreter's default limit of 1000.

When something raises, all memos of this walk become FAILED. They keep their old value and the revision it belongs to:
if only verification failed, the old value may turn out to be right once the failing read has recovered. If the
function itself raised, its reads are now those of the failed run, the value no longer follows from them, and
`must_run` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from byway.engine.cycle import cycle
from byway.engine.execute import execute
from byway.engine.memo import ACTIVE, CLEAN, FAILED, Memo, Node
from byway.engine.reuse import reuse

if TYPE_CHECKING:
    from byway.engine.database import Database


def refresh(db: Database, memo: Memo) -> None:
    """Make the memo clean; raises what the query raises."""
    active = db.active
    base = len(active)
    try:
        walks = [_entered(db, memo)]
        settled: Node | None = None  # the read of the top entry that has just been brought up to date
        while walks:
            top = active[-1]
            if settled is None or settled.changed_at <= top.verified_at:
                obstacle = _obstacle(walks[-1], top.verified_at)
            else:
                obstacle = settled
            if isinstance(obstacle, Memo) and obstacle.state != CLEAN:
                walks.append(_entered(db, obstacle))
                settled = None
                continue
            if obstacle is not None or top.must_run:
                execute(db, top)
            else:
                _validate(db, top)
            settled = top
            active.pop()
            walks.pop()
    except BaseException:
        for failed in active[base:]:
            failed.state = FAILED
        del active[base:]
        raise


def _validate(db: Database, memo: Memo) -> None:
    """The memo is right as it stands."""
    memo.verified_at = db.revision
    memo.state = CLEAN
    reuse(db, memo)


def _entered(db: Database, memo: Memo) -> Iterator[Node]:
    """Put the memo on the stack; its reads are what must be looked at."""
    if memo.state == ACTIVE:
        raise cycle(db.active, memo)
    memo.state = ACTIVE
    db.active.append(memo)
    return iter(memo.reads)


def _obstacle(reads: Iterator[Node], verified_at: int) -> Node | None:
    """The next read that is not known to be as it was; None if there is none."""
    for node in reads:
        if node.state or node.changed_at > verified_at:
            return node
    return None
