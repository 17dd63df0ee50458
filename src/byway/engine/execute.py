"""Execute: run the function of a query, record what it reads, and compare the outcome with the remembered one.

Whatever is raised below a query fails that query too, in the same way, even if the function caught it: an error is not
a value that could be remembered, so nothing may be computed from it. Reads after it are not recorded any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from byway.engine.cutoff import is_same
from byway.engine.event import DidCutOff, WillCompute
from byway.engine.invalidation import invalidate
from byway.engine.memo import CLEAN, NOTHING, Memo, Node

if TYPE_CHECKING:
    from byway.engine.database import Database


def execute(db: Database, memo: Memo) -> None:
    """Bring the memo up to date by running its function; it is clean afterwards, or this raises."""
    memo.counts.n_computed += 1
    if db.on_event is not None:
        db.on_event(WillCompute(memo.query, memo.arguments))
    reads: dict[Node, None] = {}
    outer, db.reads = db.reads, reads
    timer = db.timer
    began, spent_outside, db.spent = (timer() if timer else 0.0), db.spent, 0.0
    is_cut_off = False
    try:
        value = memo.query.function(db, *memo.arguments)
        if db.failure is not None:
            raise first_failure(memo, db.failure)
        is_cut_off = memo.value is not NOTHING and is_same(memo.value, value)
    except BaseException as error:
        memo.must_run = True
        db.has_failed = True
        if db.failure is None or db.failure is error or not isinstance(error, Exception):
            raise
        raise first_failure(memo, db.failure) from db.failure.__cause__
    finally:
        db.reads = outer
        whole = timer() - began if timer else 0.0
        memo.counts.ran(memo.arguments, whole - db.spent)
        db.spent = spent_outside + whole
        memo.record(db, reads)
        memo.verified_at = db.revision
    if not is_cut_off:
        memo.value = value
        memo.changed_at = db.revision
    settle(db, memo)
    if is_cut_off:
        memo.counts.n_cut_off += 1
        if db.on_event is not None:
            db.on_event(DidCutOff(memo.query, memo.arguments))


def first_failure(memo: Memo, failure: BaseException) -> BaseException:
    """What was raised below the memo, for a function that has returned, or raised something else, all the same."""
    failure.add_note(f"{memo} caught this error and went on, but an error below a query is its own")
    return failure


def settle(db: Database, memo: Memo) -> None:
    """Note that the run succeeded."""
    memo.state = CLEAN
    if memo.must_run:
        memo.must_run = False
        if memo.dependants:
            invalidate(db, memo)  # those that failed because of this one are worth another try
    if memo.subscription is not None:
        db.pending[memo] = None
    if db.strict:
        db.rechecked.add(memo)
