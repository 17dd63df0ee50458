"""History: the last revisions of a source, and the bell that tells watchers of a new one.

Watchers pull: each remembers only how far it has come, so a slow one holds nothing back and costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from byway.sources.errors import RevisionGone
from byway.sources.source import HISTORY, Batch, Change


class Bell:
    """Wakes everybody who waits; used within one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_closed = False

    def heard(self) -> asyncio.Event:
        """What the next ring will set; take it before looking, so that no ring is missed."""
        return self._event

    def ring(self) -> None:
        """Wake everybody."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.is_closed = True
        self.ring()


class History:
    """Batches of consecutive revisions, the newest `limit` of them."""

    def __init__(self, revision: int, limit: int = HISTORY) -> None:
        self._first = revision
        """The revision before the oldest batch."""
        self._batches: deque[Batch] = deque(maxlen=limit)

    def append(self, revision: int, changes: Sequence[Change]) -> None:
        """One more revision."""
        if len(self._batches) == self._batches.maxlen:
            self._first = self._batches[0].revision
        self._batches.append(Batch(revision, tuple(changes)))

    def next_after(self, since: int) -> Batch | None:
        """The first batch after `since`, None if there is none yet; `RevisionGone` if it is not kept, or `since`
        never was.
        """
        index = since - self._first
        if index < 0 or index > len(self._batches):
            raise RevisionGone(since)
        return self._batches[index] if index < len(self._batches) else None


async def followed(history: History, bell: Bell, since: int) -> AsyncGenerator[Batch, None]:
    """Every batch after `since`, until the bell is closed."""
    while not bell.is_closed:
        heard = bell.heard()
        batch = history.next_after(since)
        if batch is None:
            await heard.wait()
        else:
            yield batch
            since = batch.revision
