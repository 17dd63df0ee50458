"""Queries: pure functions of the database and their arguments, answered through memos."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, TypeVarTuple, Unpack, cast

from byway.engine.errors import NotAQuery
from byway.engine.fetch import fetch

if TYPE_CHECKING:
    from byway.engine.database import Database
    from byway.engine.memo import Arguments

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class Query(Generic[*Ts, R]):
    """A memoised function. The object is only its name: the memos live in each database."""

    def __init__(self, function: Callable[[Database, Unpack[Ts]], R]) -> None:
        self.function = function
        self.name = function.__name__  # as messages and metrics show it
        functools.update_wrapper(self, function)

    def __call__(self, db: Database, /, *args: *Ts) -> R:
        """The value for these arguments; inside a query the read is recorded."""
        # The hot path of the whole control plane: a clean memo costs two lookups and the record of the read.
        try:
            memo = db.memos[self][args]
        except KeyError:
            memo = db.memo(self, args)
        if memo.state or db.is_attentive:
            return cast("R", fetch(db, memo))
        reads = db.reads
        if reads is not None:
            reads[memo] = None
        memo.counts.n_reused += 1
        return memo.value  # type: ignore[no-any-return]  # the value that `function` returned

    def call_text(self, arguments: Arguments) -> str:
        """The call as one would write it, without the database, shortened."""
        return f"{self.name}({', '.join(map(reprlib.repr, arguments))})"

    def __repr__(self) -> str:
        return f"<query {self.function.__qualname__}>"


AnyQuery: TypeAlias = Query[*tuple[Any, ...], Any]


def query(function: Callable[[Database, Unpack[Ts]], R]) -> Query[*Ts, R]:
    """Make a pure function of a database and hashable arguments a query."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise NotAQuery(
            f"{function.__qualname__} would read the database only after it returned, when nothing is recorded; "
            "make it a plain function that returns a finished value, such as a tuple"
        )
    return Query(function)
