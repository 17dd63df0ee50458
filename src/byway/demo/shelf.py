"""A bounded dictionary: the fleet's memory. The entry that was put first falls out when the shelf is full.

The demo may run for days under load, so nothing in it grows without limit.
"""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Shelf(Generic[V]):
    """At most `limit` values by key; safe to use from many threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[str, V] = {}
        self._lock = Lock()

    def get(self, key: str) -> V | None:
        """The value under `key`, or None."""
        return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        """Store `value`; the oldest entry makes room."""
        with self._lock:
            self._store(key, value)

    def add(self, key: str, value: V) -> bool:
        """Store `value` unless the key is taken; whether it was stored."""
        with self._lock:
            if key in self._values:
                return False
            self._store(key, value)
            return True

    def items(self) -> list[tuple[str, V]]:
        """All entries, the oldest first."""
        with self._lock:
            return list(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def _store(self, key: str, value: V) -> None:
        if key not in self._values and len(self._values) >= self._limit:
            del self._values[next(iter(self._values))]
        self._values[key] = value


class Tally:
    """Counts by key, at most `limit` keys; the key that was counted first falls out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def add(self, key: str) -> int:
        """Count one more; the new count."""
        with self._lock:
            if key not in self._counts and len(self._counts) >= self._limit:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = count = self._counts.get(key, 0) + 1
            return count

    def of(self, key: str) -> int:
        """The count of `key`."""
        return self._counts.get(key, 0)

    def highest(self, n: int) -> list[tuple[str, int]]:
        """The `n` highest counts, the highest first."""
        with self._lock:
            return sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))[:n]
