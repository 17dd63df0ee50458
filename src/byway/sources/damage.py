"""Damage: what a store holds and Byway did not write, told row by row, so that one of them does not keep the rest away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from byway.base.diagnostics import Diagnostic
from byway.base.json import decoded
from byway.kinds.builder import MAX_DEPTH
from byway.kinds.document import Document, document_from_json
from byway.kinds.resource import ResourceId
from byway.sources.errors import RevisionGone
from byway.sources.source import Batch, Put, Snapshot, Stored

_log = structlog.get_logger("byway.store")


def snapshot(revision: int, rows: Iterable[tuple[ResourceId, bytes]]) -> Snapshot:
    """What the rows hold; those that hold no document of Byway's are told by the names that they are kept under."""
    contents: list[bytes] = []
    ids: list[ResourceId] = []
    damaged: dict[ResourceId, Diagnostic] = {}
    for key, content in rows:
        try:
            checked(document_from_json(content))
        except msgspec.MsgspecError as fault:
            damaged[key] = _diagnostic(key, fault)
        else:
            contents.append(content)
            ids.append(key)
    return Snapshot(revision, Stored(contents), tuple(damaged.values()), damaged, tuple(ids))


def readable(contents: Iterable[bytes]) -> tuple[Document, ...]:
    """The documents among the rows."""
    found: list[Document] = []
    for content in contents:
        try:
            found.append(checked(document_from_json(content)))
        except msgspec.MsgspecError:  # `snapshot` tells of it
            continue
    return tuple(found)


def batches(since: int, contents: Iterable[bytes]) -> tuple[Batch, ...]:
    """The batches after `since` up to the first that no commit of Byway's wrote; `RevisionGone` where that is the very first."""
    found: list[Batch] = []
    for content in contents:
        try:
            found.append(_batch(content))
        except msgspec.MsgspecError as fault:
            if found:
                break
            _log.warning("commit cannot be read; what it made can be loaded", after=since, reason=str(fault))
            raise RevisionGone(since) from fault
    return tuple(found)


def _batch(content: bytes) -> Batch:
    found: Batch = decoded(content, Batch)
    for change in found.changes:
        if isinstance(change, Put):
            checked(change.document)
    return found


def checked(document: Document) -> Document:
    """The document; `msgspec.ValidationError` where it is nested deeper than anything that can be applied."""
    level: list[Any] = [document.body]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer) if isinstance(inner, dict | list)]
        if not level:
            return document
    raise msgspec.ValidationError(f"it has more than {MAX_DEPTH} levels")


def _within(outer: Mapping[str, Any] | list[Any]) -> Iterable[Any]:
    return outer if isinstance(outer, list) else outer.values()


def _diagnostic(key: ResourceId, fault: msgspec.MsgspecError) -> Diagnostic:
    return Diagnostic(
        code="damaged-row",
        message=f"what the store has of it cannot be read: {fault}",
        hint="apply it anew, delete it, or restore the store from a backup",
        subject=str(key),
    )
