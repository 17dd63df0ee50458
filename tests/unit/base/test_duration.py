"""A duration is written in ASCII digits with a unit."""

from __future__ import annotations

import pytest

from byway.base.duration import Duration, parse_duration


@pytest.mark.parametrize("text", ["٣s", "1٣s", "1.٣s", "３s", "s", "3", "-1s", "1s ", ""])
def test_what_is_no_duration(text: str) -> None:
    """Digits of other scripts are digits to Python, and to no other reader of the file."""
    assert parse_duration(text) is None


def test_what_is_one() -> None:
    assert parse_duration("1m3.5s") == Duration.of(seconds=63.5)
