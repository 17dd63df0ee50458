"""Paths into a document, written as users would: `spec.http[0].match[1].uri`,
`metadata.labels["app.kubernetes.io/name"]`.
"""

from __future__ import annotations

import re
from collections.abc import Container

import msgspec

from byway.base.json import decoded

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def child(path: str, key: str) -> str:
    """The path of a field, or of a map's entry."""
    if _PLAIN.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{msgspec.json.encode(key).decode()}]"


def item(path: str, index: int) -> str:
    """The path of an element."""
    return f"{path}[{index}]"


def joined(path: str, rest: str) -> str:
    """`rest`, seen from `path`."""
    return f"{path}.{rest}" if path and rest and not rest.startswith("[") else path + rest


def parent(path: str) -> str:
    """The path that holds this one; the parent of a document's own fields is the empty path."""
    if path.endswith('"]'):
        at = len(path) - 2
        while (at := path.rfind('["', 0, at)) > 0 and not _is_key(path[at + 1 : -1]):
            pass
        return path[: max(at, 0)]
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _is_key(text: str) -> bool:
    try:
        decoded(text)
    except msgspec.DecodeError:
        return False
    return True


def nearest(path: str, known: Container[str]) -> str:
    """The path itself or the nearest one above it that is known; the empty path if none is."""
    while path and path not in known:
        path = parent(path)
    return path
