"""The incremental engine: memoised pure queries over inputs, with recorded dependencies. It knows no mesh word."""

from __future__ import annotations

from byway.engine.database import Database, Dependency, InputKey, Statistics
from byway.engine.errors import (
    CycleError,
    NotAQuery,
    NotSubscribed,
    QueryInsideWrite,
    UntrackedRead,
    WriteInsideQuery,
)
from byway.engine.event import DidCutOff, DidDiscard, DidReuse, Event, WillCompute
from byway.engine.input import AnyInput, Input
from byway.engine.query import AnyQuery, Query, query
from byway.engine.subscription import Root

__all__ = [
    "AnyInput",
    "AnyQuery",
    "CycleError",
    "Database",
    "Dependency",
    "DidCutOff",
    "DidDiscard",
    "DidReuse",
    "Event",
    "Input",
    "InputKey",
    "NotAQuery",
    "NotSubscribed",
    "Query",
    "QueryInsideWrite",
    "Root",
    "Statistics",
    "UntrackedRead",
    "WillCompute",
    "WriteInsideQuery",
    "query",
]
