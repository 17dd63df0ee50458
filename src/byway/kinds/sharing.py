"""Sharing: equal values that stand in many resources are one object.

Instances of a service have the same labels, ports and account, and come one after another out of a store. So the latest few
thousand different values are remembered, and who reads an equal one gets the remembered one. What comes of that is never
changed by anybody, as nothing that was read is.
"""

from __future__ import annotations

import functools
from typing import Final, TypeVar

V = TypeVar("V", str, int)

_N_LATEST: Final = 4096
_LONGEST: Final = 64  # of a text that is worth remembering: names, accounts and values of labels are not longer


def shared_text(text: str) -> str:
    """A text equal to this one."""
    return _text(text) if len(text) <= _LONGEST else text


@functools.lru_cache(_N_LATEST)
def _text(text: str) -> str:
    return text


@functools.lru_cache(_N_LATEST)
def shared_map(items: tuple[tuple[str, V], ...] = ()) -> dict[str, V]:
    """The mapping of these items, in their order; all values are of one type, since to a cache 1 and True are the same."""
    return dict(items)
