"""Fetch: the way of every read that the hot path of `Query.__call__` does not answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from byway.engine.cycle import cycle
from byway.engine.errors import QueryInsideWrite
from byway.engine.memo import ACTIVE, CLEAN, Memo
from byway.engine.reuse import reuse
from byway.engine.verify import refresh

if TYPE_CHECKING:
    from byway.engine.database import Database


def fetch(db: Database, memo: Memo) -> Any:
    """The value of the memo in this revision, recorded as read by the running query."""
    if db.n_writers:
        raise QueryInsideWrite(f"{memo} was asked while a batch is half written; ask it after the `with` block")
    if db.failure is not None:
        raise db.failure  # the running query has caught it and asks for more, but it has failed already
    if db.reads is not None:
        db.reads[memo] = None  # before anything can raise: who reads a failing query depends on it
    elif db.strict:
        db.rechecked.clear()
    try:
        if memo.state == CLEAN:
            reuse(db, memo)
        elif memo.state == ACTIVE:
            raise cycle(db.active, memo)
        else:
            refresh(db, memo)
    except BaseException as error:
        db.failure = error if db.active else None
        db.reads = None
        raise
    return memo.value
