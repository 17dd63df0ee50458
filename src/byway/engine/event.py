"""The closed set of things that the engine reports: its only debug hook, and what the tests assert on.

An event names a query and the arguments it was asked with. Observers must not touch the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from byway.engine.memo import Arguments
    from byway.engine.query import AnyQuery


class WillCompute(Struct, frozen=True):
    """The function of the query is about to run: there was no memo, or something that it read has changed."""

    query: AnyQuery
    args: Arguments

    def __str__(self) -> str:
        return f"will compute {self.query.call_text(self.args)}"


class DidReuse(Struct, frozen=True):
    """The memo stood without a run: it was clean when read, or was stale and nothing it read had changed."""

    query: AnyQuery
    args: Arguments

    def __str__(self) -> str:
        return f"did reuse {self.query.call_text(self.args)}"


class DidCutOff(Struct, frozen=True):
    """The run gave a value equal to the remembered one: the wave stops here."""

    query: AnyQuery
    args: Arguments

    def __str__(self) -> str:
        return f"did cut off {self.query.call_text(self.args)}"


class DidDiscard(Struct, frozen=True):
    """The memo was swept away: no subscribed root leads to it."""

    query: AnyQuery
    args: Arguments

    def __str__(self) -> str:
        return f"did discard {self.query.call_text(self.args)}"


Event: TypeAlias = WillCompute | DidReuse | DidCutOff | DidDiscard
