"""What can go wrong with a source, named for what happened.

UsageError
├── RevisionConflict   somebody else committed first: load again, decide again
├── RevisionGone       the changes since that revision are no longer kept: load again
├── CommitRefused      the change contradicts what is there; its diagnostics say why
└── ReadOnlySource     the source cannot be written: change it where it comes from
FaultError
└── StoreFault         the disk, the file or the queue before it failed
"""

from __future__ import annotations

from byway.base.diagnostics import Diagnostic
from byway.base.errors import FaultError, UsageError


class RevisionConflict(UsageError):
    """The source is not at the revision that the caller expects."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the source is at revision {actual}, not {expected}: load it again and decide again")
        self.expected = expected
        self.actual = actual


class RevisionGone(UsageError):
    """Changes are kept for a bounded number of revisions, and these are not among them."""

    def __init__(self, since: int) -> None:
        super().__init__(f"the changes since revision {since} are not kept any more: load everything again")
        self.since = since


class CommitRefused(UsageError):
    """Nothing was committed, for the reasons in `diagnostics`."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(str(diagnostic) for diagnostic in diagnostics))
        self.diagnostics = diagnostics


class ReadOnlySource(UsageError):
    """The source mirrors something that is written elsewhere."""


class StoreFault(FaultError):
    """The store could not be read or written; nothing is half written."""
