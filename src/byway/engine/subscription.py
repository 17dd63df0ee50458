"""A root is a query that somebody holds: it stays alive through sweeps, and its changes are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from byway.engine.cutoff import is_same
from byway.engine.memo import NOTHING

if TYPE_CHECKING:
    from byway.engine.database import Database
    from byway.engine.memo import Arguments
    from byway.engine.query import AnyQuery


class Root(NamedTuple):
    """The name of a root; equal to the plain pair of its query and arguments."""

    query: AnyQuery
    args: Arguments

    def value(self, db: Database) -> Any:
        """The value in the present revision; raises what the query raises."""
        return self.query(db, *self.args)

    def __str__(self) -> str:
        return self.query.call_text(self.args)


class Subscription:
    """The holders of one root and what they were last told."""

    __slots__ = ("n_holders", "order", "told")

    def __init__(self, order: int) -> None:
        self.n_holders = 0
        self.order = order  # roots are reported in the order of their first subscription
        self.told: Any = NOTHING  # the value last known to the holders; NOTHING if there was none, or an error

    def is_news(self, value: Any) -> bool:
        """Whether the holders must hear of this outcome, which they know from now on; NOTHING stands for an error."""
        told, self.told = self.told, value
        return value is NOTHING or told is NOTHING or not is_same(told, value)
