"""Time as a dependency: production reads the system's clock, tests turn a virtual one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""


def timestamp(at: datetime) -> str:
    """A moment in UTC as RFC 3339 has it, to the second."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()
