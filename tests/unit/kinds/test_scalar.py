"""A plain word means one thing, and what it means is written down."""

from __future__ import annotations

import pytest

from byway.kinds.scalar import LOOSE_BOOLEANS, OutOfRange, plain_scalar


@pytest.mark.parametrize("text", sorted(LOOSE_BOOLEANS))
def test_on_and_off_yes_and_no_are_text(text: str) -> None:
    """Kubernetes takes them for booleans and then refuses them as text; Byway keeps what was written."""
    assert plain_scalar(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("", None), ("~", None), ("null", None), ("nULL", "nULL"),
        ("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0777", 511), ("0o17", 15), ("0x1F", 31), ("0b101", 5),
        ("08", "08"), ("1:30", "1:30"), ("2024-01-02", "2024-01-02"), ("1.2.3", "1.2.3"), ("10.0.0.1", "10.0.0.1"),
        ("1.5", 1.5), (".5", 0.5), ("-1.", -1.0), ("1e3", 1000.0), ("6.02E+23", 6.02e23), ("0.0", 0.0), ("08.5", 8.5),
        ("5s", "5s"), ("-", "-"), (".", "."), ("+", "+"), ("0x", "0x"), ("1e", "1e"), ("_1", "_1"), ("=", "="),
        ("9223372036854775807", 2**63 - 1), ("18446744073709551615", 2**64 - 1),
    ],
)  # fmt: skip
def test_words_and_what_they_mean(text: str, value: object) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", [".nan", ".NaN", ".inf", "-.Inf", "1e999", "-1e400", "18446744073709551616", "9" * 5000, "0x" + "f" * 99]
)
def test_numbers_that_cannot_be_held_are_refused(text: str) -> None:
    with pytest.raises(OutOfRange):
        plain_scalar(text)
