"""Early cutoff: a value that equals the old one is no change, so whatever depends on it is left alone."""

from __future__ import annotations

from typing import Any


def is_same(old: Any, new: Any) -> bool:
    """Whether `new` may be forgotten in favour of `old`: identity first, because equality of large values is slow."""
    return old is new or bool(old == new)
