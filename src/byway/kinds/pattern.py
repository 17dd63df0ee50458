"""Patterns: regular expressions of users, judged by RE2 (as Envoy does) and never run by a backtracking engine."""

from __future__ import annotations

from typing import Final

import re2

from byway.kinds.message import Problem

MAX_PATTERN: Final = 1024


def pattern(value: str) -> Problem | None:
    """A regular expression that RE2 takes."""
    if not value:
        return Problem(message="the regex is empty", hint="write a pattern, or leave the match out")
    if len(value) > MAX_PATTERN:
        return Problem(
            message=f"the regex has more than {MAX_PATTERN} characters", hint="shorten it, or split the match"
        )
    if "\0" in value:
        return Problem(message="the regex has a NUL in it", hint="remove it")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return Problem(
            message=f"the regex is refused by RE2: {text[:120]}", hint="RE2 knows no look-around and no back-references"
        )
    return None
