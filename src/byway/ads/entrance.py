"""The entrance: in a storm of reconnections only so many proxies are brought into sync at a time.

Whoever is inside gets its whole configuration before the next one starts, so a storm costs the memory and the time of a
few, and those that are in sync are still told of changes. The others wait in the order of their coming, for a bounded time
and in bounded number; whoever finds no room is turned away and comes again, later each time, as Envoy does.
"""

from __future__ import annotations

import asyncio
from collections import deque

from byway.base.errors import FaultError


class Crowded(FaultError):
    """There is no room for another proxy now."""


class Entrance:
    """See the module."""

    def __init__(self, n_inside: int, n_waiting: int, wait_s: float) -> None:
        self._n_free = n_inside
        self._n_waiting_limit = n_waiting
        self._wait_s = wait_s
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    async def enter(self) -> None:
        """Returns when there is room; raises `Crowded` where there is none in time."""
        if self._n_free and not self._queue:
            self._n_free -= 1
            return
        if len(self._queue) >= self._n_waiting_limit:
            raise Crowded("too many proxies are starting; come again")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # the turn came just as it was given up
            else:
                self._queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise Crowded("too many proxies are starting; come again") from None
            raise

    def leave(self) -> None:
        """One is in sync, or gone: the next may come in."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._n_free += 1
