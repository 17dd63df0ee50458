"""JSON that is wrong is one exception, however it is wrong."""

from __future__ import annotations

import msgspec
import pytest

from byway.base.json import decoded


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b'{"a": "\xff"}', b'{"a": 1}\xff', b'"\\ud800"', '"\ud800"', b"[" * 100_000, b"[1]", b"\0"],
)
def test_what_spells_no_such_value_is_a_decode_error(raw: bytes | str) -> None:
    """A byte that is no UTF-8 and too deep nesting among them, which msgspec lets through as errors of their own."""
    with pytest.raises(msgspec.DecodeError):
        decoded(raw, dict[str, str])


def test_deep_nesting_is_told_from_other_mistakes() -> None:
    with pytest.raises(msgspec.DecodeError, match="nested too deeply"):
        decoded(b"[" * 100_000)


def test_a_value_is_what_was_asked_for() -> None:
    assert decoded(b'{"a": "\xc3\xa9"}', dict[str, str]) == {"a": "é"}
    assert decoded("[1, null]") == [1, None]
