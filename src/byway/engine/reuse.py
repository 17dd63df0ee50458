"""Reuse: a memo is answered without a run; strict mode runs it all the same, and compares."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from byway.engine.cutoff import is_same
from byway.engine.errors import UntrackedRead
from byway.engine.event import DidReuse
from byway.engine.memo import Memo

if TYPE_CHECKING:
    from byway.engine.database import Database


def reuse(db: Database, memo: Memo) -> None:
    """Report that the memo stands."""
    memo.counts.n_reused += 1
    if db.on_event is not None:
        db.on_event(DidReuse(memo.query, memo.arguments))
    if db.strict and memo not in db.rechecked:
        db.rechecked.add(memo)
        recheck(db, memo)


def recheck(db: Database, memo: Memo) -> None:
    """Run the query again, unrecorded, and insist on the same value."""
    outer = db.reads, db.on_event
    db.reads, db.on_event = {}, None  # a run that only compares is nobody's work
    db.active.append(memo)
    try:
        value = memo.query.function(db, *memo.arguments)
        if db.failure is not None:
            raise db.failure
        same = is_same(memo.value, value)
    except (UntrackedRead, RecursionError):
        raise
    except Exception as error:
        raise untracked_read(memo, f"raised {reprlib.repr(error)}") from error
    finally:
        db.active.pop()
        db.reads, db.on_event = outer
    if not same:
        raise untracked_read(memo, f"gave {_short(value)}")


def untracked_read(memo: Memo, outcome: str) -> UntrackedRead:
    """The error that tells the author which query it is, what is known of it, and what to do."""
    reads = ", ".join(f"{source.name}[{reprlib.repr(key)}]" for source, key in (node.key for node in memo.reads[:8]))
    more = f" and {len(memo.reads) - 8} more" if len(memo.reads) > 8 else ""
    return UntrackedRead(
        f"{memo} {outcome} where it had given {_short(memo.value)}, though nothing that it read has changed "
        f"(it read: {reads or 'nothing'}{more}); it depends on something outside of the database (a global, a clock, "
        "randomness, a value changed in place): make that an Input, or pass it as an argument"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
