"""Source: where the mesh's documents come from, whatever keeps them.

The contract, which the conformance suite checks for every implementation: - a commit happens whole or not at all, and
is durable when it returns; each one makes one new revision (a commit that changes nothing makes none); - `load` shows
one revision whole; `watch(since)` gives every later one exactly once and in order, so load + watch misses nothing; -
a watcher costs no memory while it is slow: it reads from a bounded history, and is told `RevisionGone` once it fell
out of it; - a Service without an address gets one when it is first seen, and keeps it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final, Protocol, overload

import msgspec

from byway.base.diagnostics import Diagnostic
from byway.kinds.document import Document, document_from_json
from byway.kinds.resource import ResourceId

HISTORY: Final = 1000
"""How many revisions a watcher may lag behind."""


class Put(msgspec.Struct, frozen=True, tag=True):
    """Create or replace the resource that the document describes; its namespace, if it has one, is written in it."""

    document: Document


class Remove(msgspec.Struct, frozen=True, tag=True):
    """Remove a resource; one that is not there is none of the commit's business."""

    id: ResourceId


Change = Put | Remove


class Stored(Sequence[Document]):
    """Documents as a store has them, each read anew when it is taken.

    All of a large mesh at once, read, would take several times what is made of them; and what is made of them shares their
    texts, so that this memory would never be whole again.
    """

    def __init__(self, contents: Iterable[bytes]) -> None:
        """Each is what `document_json` wrote: see `damage.snapshot`."""
        self._contents = tuple(contents)

    def __len__(self) -> int:
        return len(self._contents)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Document, ...]: ...
    def __getitem__(self, index: int | slice) -> Document | tuple[Document, ...]:
        if isinstance(index, slice):
            return tuple(document_from_json(content) for content in self._contents[index])
        return document_from_json(self._contents[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as documents have none


class Snapshot(msgspec.Struct, frozen=True):
    """All documents at one revision, in the order of their ids; `diagnostics` tell of what could not be read.

    `damaged` are those that a store keeps under a name, and of which nothing else can be read. `ids` are what the documents
    are kept under; without them they are as the documents say.
    """

    revision: int
    documents: Sequence[Document] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    damaged: Mapping[ResourceId, Diagnostic] = {}
    ids: tuple[ResourceId, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """What one commit changed."""

    revision: int
    changes: tuple[Change, ...]


class Source(Protocol):
    """Documents that can be read, followed and (unless they are written elsewhere) changed."""

    async def load(self) -> Snapshot:
        """Everything, at the current revision."""

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Make the changes in one step, if the source is at `expected` (None: wherever it is); the revision afterwards.

        Raises `RevisionConflict`, `CommitRefused`, `ReadOnlySource` or `StoreFault`, and has then changed nothing.
        """

    def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """Every commit after revision `since`, until the source is closed; raises `RevisionGone` if some are not
        kept.
        """

    async def close(self) -> None:
        """Let go of everything; watchers end."""
