"""Istio's StringMatch in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from byway.model.route import MatchKind, NamedMatch, StringMatch


class Written(Protocol):
    """A StringMatch as decoded: at most one of the three is set."""

    @property
    def exact(self) -> str | None:
        """The whole string."""

    @property
    def prefix(self) -> str | None:
        """Its beginning."""

    @property
    def regex(self) -> str | None:
        """An RE2 expression for the whole string."""


def string_match(written: Written | None, *, ignore_case: bool = False) -> StringMatch | None:
    """The comparison, or None where nothing was written; an empty one means that the value is merely there."""
    if written is None:
        return None
    if written.exact is not None:
        return StringMatch(MatchKind.EXACT, written.exact, ignore_case)
    if written.prefix is not None:
        return StringMatch(MatchKind.PREFIX, written.prefix, ignore_case)
    if written.regex is not None:
        return StringMatch(MatchKind.REGEX, written.regex)
    return StringMatch(MatchKind.PRESENT)


def named_matches(
    written: Mapping[str, Written], *, is_inverted: bool = False, is_header: bool = False
) -> tuple[NamedMatch, ...]:
    """The comparisons by name, sorted, header names in lower case as HTTP/2 has them."""
    matches = ((name.lower() if is_header else name, string_match(match)) for name, match in sorted(written.items()))
    return tuple(NamedMatch(name, match, is_inverted) for name, match in matches if match is not None)
