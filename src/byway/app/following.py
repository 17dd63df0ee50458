"""Following: the world kept at the revision of its source, whoever commits there.

A control plane's own commits are in its world before they are stored; those of others come by the source's watch and go
out like its own. What does not decode here, or is refused here (another Byway wrote it, another Envoy proved it), is held
in quarantine. Where the source no longer keeps what was missed, everything is loaded, and the difference taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Set
from typing import Final

import msgspec
import structlog

from byway.ads.hub import Hub
from byway.ads.rollout import Rollout, RolloutResult
from byway.app.intake import Incoming, identity, incoming
from byway.app.losses import losses
from byway.app.nametable import NameTable
from byway.app.proposal import Judged
from byway.app.quarantine import Quarantine
from byway.app.turns import Turns
from byway.base.errors import BywayError
from byway.kinds.document import Document
from byway.kinds.registry import KINDS
from byway.kinds.resource import ResourceId
from byway.sources.errors import RevisionGone, StoreFault
from byway.sources.source import Batch, Put, Remove, Source
from byway.world.change import Change
from byway.world.host import World

_CATCH_UP_S: Final = 30.0
_PAUSE_S: Final = 1.0
_AT_ONCE: Final = 256
_log = structlog.get_logger("byway.following")


async def _unchecked() -> None:
    """A source that nobody else can put another one in the place of."""


class Following:
    """See the module. Whoever changes the world or commits holds `alone` meanwhile."""

    def __init__(
        self,
        world: World,
        source: Source,
        quarantine: Quarantine,
        hub: Hub,
        turns: Turns,
        names: NameTable,
    ) -> None:
        self.revision = 0  # of the source, that the world is at
        self.alone = asyncio.Lock()
        self.check: Callable[[], Awaitable[None]] = _unchecked
        """Raises where the source has become that of another mesh; asked before everything is loaded anew."""
        self._world = world
        self._source = source
        self._quarantine = quarantine
        self._hub = hub
        self._turns = turns
        self._names = names
        self._notes: list[set[ResourceId]] = []

    async def run(self) -> None:
        """Takes what others commit, until the source is closed."""
        is_told = False
        while True:
            try:
                async with contextlib.aclosing(self._source.watch(self.revision)) as batches:
                    async for batch in batches:
                        is_told = False
                        async with self.alone:
                            await self._take(batch)
                return
            except RevisionGone:
                async with self.alone:
                    is_told = not await self._loaded(is_told=is_told)
                await asyncio.sleep(_PAUSE_S if is_told else 0)
            except StoreFault as fault:
                _log.warning("source cannot be followed; trying again", reason=str(fault))
                await asyncio.sleep(_PAUSE_S)
            except Exception:  # noqa: BLE001 - what somebody else has written ends no control plane
                _log.exception("change of another control plane cannot be taken")
                await asyncio.sleep(_PAUSE_S)

    async def commit(self, change: Change) -> None:
        """Stores a change that the world has; raises `RevisionConflict` where somebody else was first."""
        changes: list[Put | Remove] = [*(Put(r.document) for r in change.puts), *(Remove(i) for i in change.removes)]
        self.revision = await self._source.commit(changes, expected=self.revision)
        self._quarantine.release(change.ids)

    async def retry(self, touched: Set[ResourceId]) -> None:
        """Tells of what may leave the quarantine now that these have changed."""
        verdict = await self._quarantine.retry(touched)
        if verdict is not None:
            await self.tell(verdict)

    async def catch_up(self, revision: int) -> None:
        """Takes what others have committed up to `revision`."""
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                if revision < self.revision:
                    raise RevisionGone(self.revision)
                async with contextlib.aclosing(self._source.watch(self.revision)) as batches:
                    while self.revision < revision:
                        await self._take(await anext(batches))
        except RevisionGone:
            await self._load()
        except (TimeoutError, StopAsyncIteration) as fault:
            raise StoreFault("the store has changed and cannot be read: try again in a moment") from fault

    @contextlib.contextmanager
    def noted(self) -> Iterator[set[ResourceId]]:
        """The resources that others change meanwhile."""
        touched: set[ResourceId] = set()
        self._notes.append(touched)
        try:
            yield touched
        finally:
            self._notes.remove(touched)

    async def _take(self, batch: Batch) -> None:
        if batch.revision <= self.revision:
            return  # its own, or taken by `catch_up`
        documents = [change.document for change in batch.changes if isinstance(change, Put)]
        found = await asyncio.to_thread(incoming, documents)
        removes = [change.id for change in batch.changes if isinstance(change, Remove)]
        self.revision = batch.revision
        await self._adopt(found, removes)

    async def _loaded(self, *, is_told: bool) -> bool:
        """Whether everything could be loaded anew; if not, what runs stays as it is."""
        try:
            await self._load()
        except BywayError as fault:
            if not is_told:
                _log.error("source cannot be followed any more; what runs stays as it is", reason=str(fault))
            return False
        return True

    async def _load(self) -> None:
        await self.check()
        snapshot = await self._source.load()
        stored: set[ResourceId] = set(snapshot.damaged)
        different: list[Document] = []
        ids: list[ResourceId] = []
        for n, document in enumerate(snapshot.documents):  # each is read as it is taken: all at once would fill memory
            named = identity(document)
            kept = snapshot.ids[n] if snapshot.ids else named
            stored |= {named, kept}
            if not self._world.holds(named, document):
                different.append(document)
                ids.append(kept)
            if n % _AT_ONCE == 0:
                await asyncio.sleep(0)  # let the streams have their turn
        found = await asyncio.to_thread(incoming, different, ids)
        found = msgspec.structs.replace(found, unreadable=(*found.unreadable, *losses(snapshot.damaged)))
        here = [resource.id for kind in KINDS for resource in self._world.resources(kind.name)]
        removes = [i for i in (*here, *(held.id for held in self._quarantine.held())) if i not in stored]
        n_put = len(found.resources)
        _log.info("all resources loaded again", revision=snapshot.revision, n_put=n_put, n_removed=len(removes))
        self.revision = snapshot.revision
        await self._adopt(found, removes)

    async def _adopt(self, found: Incoming, removes: Iterable[ResourceId]) -> None:
        ids = {*found.ids, *removes}
        if not ids:
            return
        for touched in self._notes:
            touched |= ids
        verdict = await self._quarantine.take(found, removes)
        _log.info("change of another control plane", revision=self.revision, n=len(ids))
        await self.tell(verdict)

    async def tell(self, verdict: Judged) -> Rollout | RolloutResult:
        """Tells the fleet what differs now; what moves doors is told in turns, and has been taken when this returns."""
        stands = verdict.change.ids
        if verdict.moved:
            return await self._turns.publish(verdict.changed, verdict.moved, lambda: self._names.publish_of(stands))
        self._names.publish_of(stands)
        return self._hub.publish(verdict.changed)
