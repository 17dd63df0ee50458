"""What can go wrong in the engine, and whose fault it is.

    BywayError
    └── UsageError
        ├── CycleError        a query asked, by way of others, for itself
        ├── UntrackedRead     a query read something that is not in the database (found by strict mode)
        ├── WriteInsideQuery  a query changed, subscribed or swept the database that it was reading
        ├── QueryInsideWrite  a query was asked while a batch of inputs was half written
        ├── NotSubscribed     more was given back than had been taken
        └── NotAQuery         a function whose reads cannot be recorded (a coroutine, a generator)

An exception of a query itself passes through unchanged: it is a fault of the program, since what users got wrong
is data beside the result.
"""

from __future__ import annotations

from byway.base.errors import UsageError


class CycleError(UsageError):
    """A query needs its own value; `path` names the way round, its first entry again at the end."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        super().__init__(
            f"a query needs its own value: {_joined(path)}; break the cycle, or find it and report it as data"
        )


class UntrackedRead(UsageError):
    """A query gave another value though nothing that it is recorded to have read had changed."""


class WriteInsideQuery(UsageError):
    """A query is a pure function: it cannot change the database that it reads."""


class QueryInsideWrite(UsageError):
    """A query was asked before the batch of writes was complete."""


class NotSubscribed(UsageError):
    """The root that was given up is held by nobody."""


class NotAQuery(UsageError):
    """The function cannot be a query, because its reads would happen after it returned."""


def _joined(path: tuple[str, ...]) -> str:
    """The path in one line; a long one keeps both of its ends."""
    n_shown = 8
    if len(path) <= 2 * n_shown:
        return " → ".join(path)
    n_hidden = len(path) - 2 * n_shown
    return " → ".join((*path[:n_shown], f"({n_hidden} more)", *path[-n_shown:]))
