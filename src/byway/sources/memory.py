"""Memory: a source that lives and dies with its process, for tests and for meshes that nobody needs to remember."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from byway.kinds.document import Document
from byway.kinds.resource import ResourceId
from byway.sources.admission import admitted, identified
from byway.sources.errors import RevisionConflict
from byway.sources.history import Bell, History, followed
from byway.sources.source import HISTORY, Batch, Change, Put, Snapshot


class MemorySource:
    """A `Source` in memory; its commits are as durable as the process, and watchers may lag `history` revisions."""

    def __init__(self, *, history: int = HISTORY) -> None:
        self._documents: dict[ResourceId, Document] = {}
        self._addresses: dict[ResourceId, str] = {}
        self._revision = 0
        self._history = History(0, history)
        self._bell = Bell()

    async def load(self) -> Snapshot:
        """Everything, at the current revision."""
        return Snapshot(self._revision, tuple(document for _, document in sorted(self._documents.items())))

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Make the changes in one step; see `Source.commit`."""
        if expected is not None and expected != self._revision:
            raise RevisionConflict(expected, self._revision)
        admission = admitted(changes, self._addresses)
        effective = [change for change in admission.changes if self._has_effect(change)]
        if not effective:
            return self._revision
        for change in effective:
            if isinstance(change, Put):
                self._documents[identified(change.document)] = change.document
            else:
                del self._documents[change.id]
        self._addresses = admission.addresses
        self._revision += 1
        self._history.append(self._revision, effective)
        self._bell.ring()
        return self._revision

    def _has_effect(self, change: Change) -> bool:
        if isinstance(change, Put):
            return self._documents.get(identified(change.document)) != change.document
        return change.id in self._documents

    def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """Every commit after `since`; see `Source.watch`."""
        return followed(self._history, self._bell, since)

    async def close(self) -> None:
        """Watchers end."""
        self._bell.close()
