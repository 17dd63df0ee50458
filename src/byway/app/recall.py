"""Recall: the earlier versions of stored objects, as far back as a source keeps its commits.

A control plane that starts has not seen what was in force before; those that ran have, and all should hold the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Set
from typing import Final

import structlog

from byway.app.intake import identity, readable
from byway.base.errors import BywayError
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId
from byway.sources.errors import RevisionGone
from byway.sources.source import HISTORY, Batch, Put, Remove, Source

_LIMIT_S: Final = 10.0
_MOST_VERSIONS: Final = 8
_log = structlog.get_logger("byway.recall")

Versions = dict[ResourceId, deque[Document]]


async def earlier(source: Source, revision: int, ids: Set[ResourceId]) -> dict[ResourceId, tuple[Resource, ...]]:
    """The versions of `ids` that were committed up to `revision` and decode here, since they were last made, newest first.

    A source that cannot be read, or not in `_LIMIT_S`, is told in the log; what was found so far counts for nothing.
    """
    found: Versions = {}
    try:
        async with asyncio.timeout(_LIMIT_S):
            await _scan(source, revision, ids, found)
    except (BywayError, StopAsyncIteration, TimeoutError) as fault:
        _log.warning("earlier versions cannot be read", n=len(ids), reason=str(fault) or type(fault).__name__)
        return {}
    return await asyncio.to_thread(_read, found)


async def _scan(source: Source, revision: int, ids: Set[ResourceId], found: Versions) -> None:
    at = await _oldest(source, revision)
    while at < revision:
        try:
            async with contextlib.aclosing(source.watch(at)) as batches:
                while at < revision:
                    batch = await anext(batches)
                    at = batch.revision
                    _note(batch, ids, found)
        except RevisionGone:  # one that cannot be read: what it did is not known
            found.clear()
            at += 1


def _note(batch: Batch, ids: Set[ResourceId], found: Versions) -> None:
    for change in batch.changes:
        resource_id = identity(change.document) if isinstance(change, Put) else change.id
        if isinstance(change, Remove):
            found.pop(resource_id, None)
        elif resource_id in ids:
            found.setdefault(resource_id, deque(maxlen=_MOST_VERSIONS)).append(change.document)


async def _oldest(source: Source, revision: int) -> int:
    """The oldest revision that can be watched from: all later ones are kept, too."""
    low, high = max(0, revision - HISTORY), revision
    probe = low
    while low < high:
        if await _is_kept(source, probe):
            high = probe
        else:
            low = probe + 1
        probe = (low + high) // 2
    return high


async def _is_kept(source: Source, revision: int) -> bool:
    try:
        async with contextlib.aclosing(source.watch(revision)) as batches:
            await anext(batches)
    except RevisionGone:
        return False
    return True


def _read(found: Versions) -> dict[ResourceId, tuple[Resource, ...]]:
    read = {
        i: tuple(r for d in reversed(versions) if (r := readable(d)) and r.id == i) for i, versions in found.items()
    }
    return {i: versions for i, versions in read.items() if versions}
