"""Findings: problems with the path at which they were found, on their way to becoming diagnostics."""

from __future__ import annotations

from typing import Final

import msgspec

from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.document import Document
from byway.kinds.message import Problem
from byway.kinds.path import joined

_NAMING = frozenset({"unsupported-field", "unknown-field", "missing-field"})
"""Codes whose message goes on from the field's name."""


MAX_FINDINGS: Final = 100
_MORE: Final = Problem(
    code="too-many-errors", message="more was found than is shown", hint="mend the other errors first"
)


class Findings(msgspec.Struct):
    """All that was found in one document; the first error does not end the search, but the hundredth does."""

    found: list[tuple[str, Problem]] = []

    def add(self, path: str, problem: Problem) -> None:
        """One more; the problem's own `at` leads on from `path`."""
        if not self.is_full:
            self.found.append((joined(path, problem.at), problem))
            if self.is_full:
                self.found.append((path, _MORE))

    @property
    def is_full(self) -> bool:
        """Whether there is no use in looking any further."""
        return len(self.found) >= MAX_FINDINGS

    @property
    def has_errors(self) -> bool:
        """Whether the document is refused."""
        return any(problem.severity is Severity.ERROR for _, problem in self.found)

    def diagnostics(self, document: Document, subject: str) -> tuple[Diagnostic, ...]:
        """The findings with their places in the file, in the order of the file."""
        diagnostics = [_diagnostic(path, problem, document, subject) for path, problem in self.found]
        return tuple(sorted(diagnostics, key=lambda diagnostic: (diagnostic.position.line, diagnostic.position.column)))  # type: ignore[union-attr]


def _diagnostic(path: str, problem: Problem, document: Document, subject: str) -> Diagnostic:
    between = "" if not path else " " if problem.code in _NAMING else ": "
    return Diagnostic(
        severity=problem.severity, code=problem.code, message=path + between + problem.message,
        position=document.position(path), hint=problem.hint, subject=subject,
    )  # fmt: skip
