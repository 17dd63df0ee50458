"""How numbers are worded for people."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 proxy`, `3 files`."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
