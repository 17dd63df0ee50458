"""Labels as the mesh compares them: sorted pairs, hashable, so that they can be part of a query's key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Labels = tuple[tuple[str, str], ...]


def labels_of(mapping: Mapping[str, str]) -> Labels:
    """The pairs of `mapping`, sorted."""
    return tuple(sorted(mapping.items()))


def selects(selector: Labels, labels: Labels) -> bool:
    """Whether every pair of `selector` is among `labels`; an empty selector selects all."""
    return set(selector) <= set(labels)


def label(labels: Labels, *names: str) -> str:
    """The value of the first of `names` that `labels` has, or an empty string."""
    found = dict(labels)
    return next((found[name] for name in names if name in found), "")


def restricted(labels: Labels, names: Iterable[str]) -> Labels:
    """Only the pairs whose name is in `names`."""
    wanted = frozenset(names)
    return tuple(pair for pair in labels if pair[0] in wanted)
