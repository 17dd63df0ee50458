"""What users got wrong, as data: a diagnostic has a place, a stable code and the next step.

Diagnostics travel beside results (`Derived`), never as exceptions: one mistaken resource must not hold up another.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(enum.Enum):
    """How much a diagnostic matters: an error refuses the resource, the others do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: a stable kebab-case `code`, a lower-case `message` without a full stop, a `hint` at the next step."""

    severity: Severity = Severity.ERROR
    code: str
    message: str
    position: Position | None = None
    hint: str = ""
    subject: str = ""

    def __str__(self) -> str:
        place = f"{self.position}: " if self.position else (f"{self.subject}: " if self.subject else "")
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint}"


class Derived(msgspec.Struct, Generic[T], frozen=True):
    """A value and what was found while deriving it."""

    value: T
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def has_errors(self) -> bool:
        """Whether any diagnostic refuses the resource."""
        return any(d.severity is Severity.ERROR for d in self.diagnostics)
