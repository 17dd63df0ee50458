"""Fields: where in an object stands what Envoy complains of, as far as its words say so.

Envoy seldom names a field of what the operator wrote, but it mostly repeats the value that it dislikes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from byway.base.duration import parse_duration
from byway.kinds.document import Document
from byway.kinds.path import child, item

_LONG: Final = 6
"""So long a text is no chance hit."""
_OPERATOR: Final = re.compile(r"%([A-Z][A-Z0-9_]+)")


def field_named(document: Document, reason: str) -> str:
    """The path of the field whose value `reason` repeats, the longest of several; `spec` where it repeats none."""
    values = ((path, value) for path, value in _values(document.body.get("spec"), "spec") if _is_told(value, reason))
    return max(values, key=lambda found: len(found[1]), default=("spec", ""))[0]


def _is_told(value: str, reason: str) -> bool:
    """Whether the words are about this value: it is long, it is quoted, they end with it, or they name its operator.

    A duration is told in seconds.
    """
    if len(value) >= _LONG and value in reason:
        return True
    if any(f"{mark}{value}{mark}" in reason for mark in "'\"`") or reason.endswith(f": {value}"):
        return True
    duration = parse_duration(value)
    if duration is not None and f"seconds: {duration.seconds:.0f}" in reason:
        return True
    return any(operator in reason.split() for operator in _OPERATOR.findall(value))


def _values(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _values(value, child(path, key))
    elif isinstance(node, list):
        for n, value in enumerate(node):
            yield from _values(value, item(path, n))
    elif isinstance(node, str) and node:
        yield path, node
