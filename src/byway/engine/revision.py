"""A revision counts the changes of the inputs; it is the only clock that the engine knows.

Every node remembers two revisions at most: `changed_at`, when its value last became a different one, and, if it is
a memo, `verified_at`, when it was last known to be right. All that verification asks is one comparison of integers:
did something that I read change after I was last right?
"""

from __future__ import annotations

from typing import Final

NEVER: Final = -1
"""Older than every revision: the mark of what has not happened yet."""

START: Final = 0
"""The revision of a new, empty database."""
