"""Store: a source that remembers, in one SQLite file, for a control plane of its own.

All work on the file is done by one thread, in the order in which it was asked for; the queue before it is bounded,
and whoever finds it full is told so at once. A commit that was begun is finished even if its caller has gone away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from byway.sources.database import MAX_BYTES, Database
from byway.sources.errors import StoreFault
from byway.sources.history import Bell
from byway.sources.source import HISTORY, Batch, Change, Snapshot

T = TypeVar("T")
_MAX_WAITING: Final = 64
_BATCHES_AT_ONCE: Final = 16


class StoreSource:
    """A `Source` in a file; make it with `open`, within the event loop that uses it."""

    def __init__(self, executor: ThreadPoolExecutor, database: Database) -> None:
        self._executor = executor
        self._database = database
        self._n_waiting = 0
        self._bell = Bell()

    @classmethod
    async def open(cls, path: Path, *, max_bytes: int = MAX_BYTES, history: int = HISTORY) -> StoreSource:
        """The store in the file at `path`, made if it is not there; `StoreFault` if it cannot be used."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="byway-store")
        try:
            database = await asyncio.wrap_future(executor.submit(Database, path, max_bytes, history))
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(executor, database)

    async def load(self) -> Snapshot:
        """Everything, at the current revision."""
        return await self._done(self._database.load)

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Make the changes in one step; see `Source.commit`. They are on the disk when it returns."""
        return await self._done(partial(self._database.commit, tuple(changes), expected), self._bell.ring)

    async def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """Every commit after `since`; see `Source.watch`."""
        while not self._bell.is_closed:
            heard = self._bell.heard()
            batches = await self._done(partial(self._database.batches_after, since, _BATCHES_AT_ONCE))
            for batch in batches:
                yield batch
                since = batch.revision
            if not batches:
                await heard.wait()

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file; watchers end."""
        if self._bell.is_closed:
            return
        self._bell.close()
        closed = self._executor.submit(self._database.close)
        self._executor.shutdown(wait=False)
        await asyncio.wrap_future(closed)

    async def _done(self, work: Callable[[], T], afterwards: Callable[[], None] | None = None) -> T:
        """The result of `work`, done in the store's thread; `afterwards` is called in the loop, come what may."""
        if self._bell.is_closed:
            raise StoreFault("the store is closed: open it again")
        if self._n_waiting >= _MAX_WAITING:
            raise StoreFault(f"{_MAX_WAITING} requests wait for the disk already: try again in a moment")
        loop = asyncio.get_running_loop()
        future = self._executor.submit(work)
        self._n_waiting += 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._settle, afterwards))
        return await asyncio.wrap_future(future)

    def _settle(self, afterwards: Callable[[], None] | None) -> None:
        self._n_waiting -= 1
        if afterwards is not None:
            afterwards()
