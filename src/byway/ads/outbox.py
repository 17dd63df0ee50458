"""What one stream still has to write.

A session has at most one version of each resource on the way, so the queue is bounded by what the proxy subscribed to. How
long its oldest response waits says whether the proxy still reads.
"""

from __future__ import annotations

import asyncio
from collections import deque

from byway.ads.action import Close


class Outbox:
    """A queue of serialized responses with one reader, and a way to end the stream."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, bytes]] = deque()
        self._filled = asyncio.Event()
        self._has_ended = False
        self._written_since: float | None = None
        self.n_bytes = 0
        self.closing: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    def put(self, message: bytes, now: float) -> None:
        """Add a response."""
        self._messages.append((now, message))
        self.n_bytes += len(message)
        self._filled.set()

    async def next(self) -> bytes | None:
        """The next response, none after the end; asking for it says that the previous one is written."""
        self._written_since = None
        while not self._messages and not self._has_ended:
            self._filled.clear()
            await self._filled.wait()
        if self._has_ended:
            return None
        since, message = self._messages.popleft()
        self.n_bytes -= len(message)
        self._written_since = since
        return message

    def end(self) -> None:
        """What is not yet being written never will be."""
        self._has_ended = True
        self._messages.clear()
        self.n_bytes = 0
        self._filled.set()

    def oldest(self) -> float | None:
        """Since when the oldest unwritten response waits."""
        if self._written_since is not None:
            return self._written_since
        return self._messages[0][0] if self._messages else None

    def close(self, close: Close) -> None:
        """End the stream with a status; the first one counts."""
        if not self.closing.done():
            self.closing.set_result(close)
