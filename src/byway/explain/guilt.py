"""Guilt: which of several suspects are to blame, found by trying some of them without the others.

A generator asks (it yields those who stand trial) and is told (it is sent whether they were refused), so it knows nothing
of what a trial is. It takes for granted that more suspects are never less refused. Then for one culprit among n it asks
at most log2 n + 3 times, and as often again for each further one without whom the refusal would not be.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

T = TypeVar("T")

Inquiry = Generator[frozenset[T], bool, frozenset[T]]
"""Yields who is tried, is sent whether they are refused, and returns the culprits."""


def culprits(suspects: Sequence[T]) -> Inquiry[T]:
    """Some of `suspects`, who are refused together, of whom none can be spared for the refusal.

    Nobody, where the refusal does not need them. Those who come late in the sequence are blamed first.
    """
    found: list[T] = []
    if (yield frozenset()):
        return frozenset()
    left = list(suspects)
    while left:
        known = frozenset(found)
        taken, refused = 0, len(left)  # with the first `taken` they are taken, with the first `refused` refused
        while refused - taken > 1:
            middle = (taken + refused) // 2
            if (yield known.union(left[:middle])):
                refused = middle
            else:
                taken = middle
        found.append(left[refused - 1])
        left = left[: refused - 1]
        if left and (yield frozenset(found)):
            break
    return frozenset(found)
