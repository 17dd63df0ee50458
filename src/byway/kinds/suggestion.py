"""Suggestions: what the user probably meant to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MANY = 12


def closest(word: str, choices: Iterable[str]) -> str:
    """`did you mean "…"?` where one choice is near, else all choices if they are few, else the empty text."""
    known = sorted(choices)
    return near(word, known) or ("use one of " + ", ".join(known) if 0 < len(known) <= _MANY else "")


def near(word: str, choices: Iterable[str]) -> str:
    """`did you mean "…"?` where one choice is near, else the empty text."""
    folded = {choice.casefold(): choice for choice in sorted(choices, reverse=True)}
    found = difflib.get_close_matches(word[:64].casefold(), folded, n=1, cutoff=0.6)
    return f'did you mean "{folded[found[0]]}"?' if found else ""
