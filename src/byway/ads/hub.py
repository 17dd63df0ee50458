"""All streams of one control plane, and the way of a change to those that it concerns.

An inverted index leads from a key to the streams that read it, so a publication touches no other. A stream gets the first
change at once, and those that follow within a bounded window together: a burst costs each proxy a few pushes a second.
No step is taken while a proposal is being proved (`Catalogue.settled`). A stream that does not read, or does not answer, is
cut off after a deadline; the others never wait for it. In a storm of reconnections streams start in turns (`Entrance`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Container
from typing import Final

import msgspec

from byway.ads import wire
from byway.ads.action import Asked, Close, Refused, Revisions, Send, Watch
from byway.ads.catalogue import Catalogue, Key, Proxy
from byway.ads.entrance import Crowded, Entrance
from byway.ads.event import Changed, Requested, Tick
from byway.ads.instruments import Instruments
from byway.ads.outbox import Outbox
from byway.ads.rollout import Nack, Rollout
from byway.ads.session import Session
from byway.base.clock import Clock
from byway.model import names

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 50


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's times, in seconds, and how many proxies start at a time."""

    window_s: float = 0.25  # between two pushes to one proxy
    write_deadline_s: float = 30.0  # for a proxy to read what was sent
    tick_s: float = 1.0
    n_starting: int = 64
    n_waiting: int = 4_000
    start_s: float = 15.0  # at most, for waiting, and for being brought into sync


class ConnectedProxy(msgspec.Struct, frozen=True, kw_only=True):
    """One stream as seen from outside. Counters are by type URL."""

    proxy: Proxy
    connected_at: float  # seconds since the epoch
    is_in_sync: bool
    last_error: Nack | None
    n_sent: dict[str, int]
    n_removed: dict[str, int]
    held: dict[str, dict[str, str]]  # type → name → version
    n_queued_bytes: int
    n_asked: int  # names that a call had to wait for


class Stream:
    """One connected proxy: its session, its queue, and the changes it has not yet been told."""

    def __init__(self, session: Session, connected_at: float) -> None:
        self.session = session
        self.proxy = session.proxy
        self.offer_key: Key = None  # of what it holds without asking
        self.connected_at = connected_at
        self.outbox = Outbox()
        self.keys: set[Key] = set()
        self.changed: set[Key] = set()
        self.due = 0.0
        self.changed_at = 0.0  # when the first of `changed` came
        self.starts_until: float | None = None  # holds a place of the entrance, at the longest until then
        self.n_asked = 0
        self.rollouts: deque[Rollout] = deque()  # that wait for this proxy, oldest first

    def rollouts_of(self, revisions: Revisions | None) -> list[Rollout]:
        """The rollouts that a response carries."""
        return [] if revisions is None else [r for r in self.rollouts if r.revision in revisions]

    def _last_error(self) -> Nack | None:
        """The latest of what the proxy refuses at present."""
        latest = max(self.session.rejections(), key=lambda found: found[2].at, default=None)
        if latest is None:
            return None
        type_url, name, rejection = latest
        return Nack(proxy=self.proxy, type_url=type_url, name=name, reason=rejection.reason)

    def connected_proxy(self) -> ConnectedProxy:
        """The stream as it is now."""
        session = self.session
        subscriptions = session.subscriptions.values()
        return ConnectedProxy(
            proxy=self.proxy,
            connected_at=self.connected_at,
            is_in_sync=session.is_in_sync,
            last_error=self._last_error(),
            n_sent={s.type_url: s.n_sent for s in subscriptions},
            n_removed={s.type_url: s.n_removed for s in subscriptions},
            held={s.type_url: {name: unit.version for name, unit in s.held.items()} for s in subscriptions},
            n_queued_bytes=self.outbox.n_bytes,
            n_asked=self.n_asked,
        )


class Hub:
    """See the module. `run` must be running for changes to go out."""

    def __init__(self, catalogue: Catalogue, clock: Clock, pace: Pace | None = None) -> None:
        self.catalogue = catalogue
        self.revision = 0
        self.n_pushes = 0
        self.n_sent = 0  # resources and removals, to all proxies
        self.n_asked = 0  # names that some call had to wait for
        self.instruments = Instruments()
        self._clock = clock
        self._pace = pace or Pace()
        self._entrance = Entrance(self._pace.n_starting, self._pace.n_waiting, self._pace.start_s)
        self._streams: dict[Stream, None] = {}
        self._readers: dict[Key, dict[Stream, None]] = {}
        self._changed: dict[Stream, None] = {}  # with changes to be told, in order of their first
        self._work = asyncio.Event()

    # --- streams come and go ---

    async def connect(self, proxy: Proxy) -> Stream:
        """A new stream of an admitted proxy; raises `Crowded` where too many are starting."""
        try:
            await self._entrance.enter()
        except Crowded:
            self.instruments.crowded.inc()
            raise
        try:
            await self.catalogue.settled()
            await self._derived(proxy, ())
            stream = Stream(Session(self.catalogue, proxy, self.revision), self._clock.now().timestamp())
        except BaseException:
            self._entrance.leave()
            raise
        stream.offer_key = self.catalogue.offer(proxy).key
        stream.starts_until = self._clock.monotonic() + self._pace.start_s
        self._streams[stream] = None
        return stream

    def disconnect(self, stream: Stream) -> None:
        """The stream has ended."""
        self._streams.pop(stream, None)
        self._changed.pop(stream, None)
        self._unwatch(stream, tuple(stream.keys))
        self._started(stream)
        for rollout in stream.rollouts:
            rollout.left(stream, self._clock.monotonic())
        stream.rollouts.clear()

    async def receive(self, stream: Stream, request: Requested) -> None:
        """The proxy sent `request`."""
        await self.catalogue.settled()
        self._step(stream, request)

    # --- changes ---

    def publish(self, changed_keys: set[Key] | frozenset[Key], among: frozenset[Proxy] | None = None) -> Rollout:
        """The catalogue's answers under these keys changed: tell those who read them, or only those `among` them."""
        self.revision += 1
        now = self._clock.monotonic()
        affected: dict[Stream, None] = {}
        for key in changed_keys:
            for stream in self._readers.get(key, ()):
                if among is not None and stream.proxy not in among:
                    continue
                if not stream.changed:
                    stream.changed_at = now
                stream.changed.add(key)
                affected[stream] = None
        rollout = Rollout(self.revision, affected, len(self._streams), now)
        for stream in affected:
            stream.rollouts.append(rollout)
        if affected:
            self._changed.update(affected)
            self._work.set()
        return rollout

    async def run(self) -> None:
        """Tell changes and watch the deadlines, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_changes())
            tasks.create_task(self._tick())

    async def _tell_changes(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):  # which means that a window has passed
                async with asyncio.timeout(self._wait_s()):
                    await self._work.wait()
            self._work.clear()
            await self.catalogue.settled()
            for n, stream in enumerate(self._due_streams()):
                if n % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)  # let answers and writes have their turn
                    await self.catalogue.settled()
                if stream.offer_key in stream.changed:
                    await self._derived(stream.proxy, stream.session.subscriptions[names.TYPE_VIRTUAL_HOST].names)
                self._tell(stream)

    def _wait_s(self) -> float | None:
        """Until the next stream may be told; None: no stream has to be told anything."""
        if not self._changed:
            return None
        return max(0.0, min(stream.due for stream in self._changed) - self._clock.monotonic())

    def _due_streams(self) -> list[Stream]:
        now = self._clock.monotonic()
        return [stream for stream in self._changed if stream.due <= now]

    def _tell(self, stream: Stream) -> None:
        if stream not in self._changed:
            return  # gone meanwhile
        del self._changed[stream]
        keys, stream.changed = frozenset(stream.changed), set()
        now = self._clock.monotonic()
        stream.due = now + self._pace.window_s
        self.n_pushes += 1
        self.instruments.queue.observe(now - stream.changed_at)
        self._step(stream, Changed(keys, self.revision))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._pace.tick_s)
            await self.catalogue.settled()
            now = self._clock.monotonic()
            for stream in list(self._streams):
                oldest = stream.outbox.oldest()
                if oldest is not None and now - oldest > self._pace.write_deadline_s:
                    stream.outbox.close(Close("DEADLINE_EXCEEDED", "the proxy does not read"))
                elif stream.session.is_awaiting_time:
                    self._step(stream, Tick())
                if stream.starts_until is not None and now > stream.starts_until:
                    self._started(stream)  # it does not answer; the others need not wait for it

    async def _derived(self, proxy: Proxy, held: Container[str]) -> None:
        """Has all that `proxy` is offered derived a little at a time: in one step it would hold up every other stream."""
        try:
            for n, name in enumerate(name for name in self.catalogue.offer(proxy).virtual_hosts if name not in held):
                if n % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)  # let answers and writes have their turn
                    await self.catalogue.settled()
                found = self.catalogue.lookup(proxy, names.TYPE_VIRTUAL_HOST, name).resource
                for cluster in found.requires if found is not None else ():
                    self.catalogue.lookup(proxy, names.TYPE_CLUSTER, cluster)
                    self.catalogue.lookup(proxy, names.TYPE_ENDPOINTS, cluster)
        except Exception:
            # The stream's own step will meet the same defect, and end that stream alone.
            logger.exception("what %s is offered cannot be derived", proxy.instance)

    # --- steps ---

    def _step(self, stream: Stream, event: Requested | Changed | Tick) -> None:
        try:
            self._act(stream, event)
        except Exception:
            # One proxy's configuration may hit a defect; the other streams go on, and this one starts afresh.
            logger.exception("the stream of %s failed", stream.proxy.instance)
            self.instruments.internal_errors.inc()
            stream.outbox.close(Close("INTERNAL", "the control plane failed; its log has the details"))

    def _act(self, stream: Stream, event: Requested | Changed | Tick) -> None:
        now = self._clock.monotonic()
        for action in stream.session.step(event, now):
            match action:
                case Send():
                    stream.outbox.put(wire.response(action), now)
                    n_resources = len(action.entries) + len(action.removed)
                    self.n_sent += n_resources
                    self.instruments.pushed(action.type_url)
                    for rollout in stream.rollouts_of(action.revisions):
                        rollout.sent(n_resources)
                case Refused():
                    self._refused(stream, action)
                case Asked():
                    self._asked(stream, action)
                case Watch():
                    self._watch(stream, action.added)
                    self._unwatch(stream, action.dropped)
                case Close():
                    stream.outbox.close(action)
        reached = stream.session.reached_revision
        while stream.rollouts and stream.rollouts[0].revision <= reached:
            rollout = stream.rollouts.popleft()
            self.instruments.convergence.observe(now - rollout.started_at)
            rollout.reached(stream, now)
        if stream.starts_until is not None and stream.session.is_in_sync:
            self._started(stream)
        self.instruments.push.observe(self._clock.monotonic() - now)

    def _started(self, stream: Stream) -> None:
        if stream.starts_until is not None:
            stream.starts_until = None
            self._entrance.leave()

    def _asked(self, stream: Stream, asked: Asked) -> None:
        stream.n_asked += 1
        self.n_asked += 1
        if asked.is_there:
            self.catalogue.asked(stream.proxy, asked.type_url, asked.name)

    def _refused(self, stream: Stream, refused: Refused) -> None:
        self.instruments.refused(refused.type_url)
        for rollout in stream.rollouts_of(refused.revisions):
            rollout.refused(stream, stream.proxy, refused)

    def _watch(self, stream: Stream, keys: tuple[Key, ...]) -> None:
        for key in keys:
            stream.keys.add(key)
            self._readers.setdefault(key, {})[stream] = None

    def _unwatch(self, stream: Stream, keys: tuple[Key, ...]) -> None:
        for key in keys:
            stream.keys.discard(key)
            readers = self._readers.get(key, {})
            readers.pop(stream, None)
            if not readers:
                self._readers.pop(key, None)

    # --- what others may see ---

    @property
    def n_connected(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def metrics(self) -> str:
        """What it measures of itself, as Prometheus reads it."""
        self.instruments.connected.set(len(self._streams))
        self.instruments.waiting.set(self._entrance.n_waiting)
        return self.instruments.text()

    def readers(self, key: Key) -> tuple[Proxy, ...]:
        """The proxies that a change under `key` concerns."""
        return tuple(stream.proxy for stream in self._readers.get(key, ()))

    def refusals(self) -> tuple[Nack, ...]:
        """All that proxies refuse at present."""
        return tuple(
            Nack(proxy=stream.proxy, type_url=type_url, name=name, reason=rejection.reason)
            for stream in self._streams
            for type_url, name, rejection in stream.session.rejections()
        )

    def snapshot(self) -> tuple[ConnectedProxy, ...]:
        """Every stream as it is now."""
        return tuple(stream.connected_proxy() for stream in self._streams)
