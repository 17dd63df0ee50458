"""Durations with a unit in their type, written as Go and protobuf write them (`1h`, `1m30s`, `0.5s`, `250ms`).

Source: https://pkg.go.dev/time#ParseDuration and the JSON mapping of google.protobuf.Duration.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

_UNITS_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(h|ms|us|µs|ns|m|s)")
_LIMIT_NS = 315_576_000_000 * 1_000_000_000  # google.protobuf.Duration: ±10,000 years


class Duration(msgspec.Struct, frozen=True, order=True):
    """A span of time in nanoseconds."""

    nanoseconds: int

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return self.nanoseconds / 1e9

    @classmethod
    def of(cls, *, seconds: float = 0, milliseconds: float = 0) -> Duration:
        """The span of so many seconds and milliseconds."""
        return cls(round(seconds * 1e9 + milliseconds * 1e6))

    def __str__(self) -> str:
        whole, rest = divmod(self.nanoseconds, 1_000_000_000)
        return f"{whole}s" if not rest else f"{whole}.{rest:09d}".rstrip("0") + "s"


def parse_duration(text: str) -> Duration | None:
    """The duration that `text` spells, or None where it spells none (no unit, negative, out of range)."""
    if text == "0":
        return Duration(0)
    total, at = Decimal(0), 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        total += Decimal(part[1]) * _UNITS_NS[part[2]]
        at = part.end()
    return Duration(int(total)) if text and total <= _LIMIT_NS else None
