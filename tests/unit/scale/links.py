"""Fake proxies on the real hub, engine and catalogue, without a network: every message is carried when the test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

from bench.plane import TrustingCatalogue
from byway.ads.catalogue import Proxy
from byway.ads.event import Requested
from byway.ads.hub import Hub, Pace, Stream
from byway.engine import Database
from byway.kinds.resource import Resource
from byway.model import names
from byway.testing.fake_envoy import FakeEnvoy
from byway.testing.fake_proxy import sent
from byway.testing.fleet import Post
from byway.world.change import Change
from byway.world.host import World

PACE = Pace(window_s=0.0, tick_s=0.0005)


class TurnedClock:
    """Time stands still until the test turns it."""

    def __init__(self) -> None:
        self.seconds = 0.0

        self.looked = asyncio.Event()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        self.looked.set()
        return self.seconds


class ControlPlane:
    """The real parts over a world."""

    def __init__(self, resources: Iterable[Resource], clock: TurnedClock) -> None:
        self.database = Database()
        self.world = World(self.database)
        self.world.apply(Change(tuple(resources)))
        self.catalogue = TrustingCatalogue(self.database)
        self.hub = Hub(self.catalogue, clock, PACE)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self.hub.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def apply(self, change: Change, *, is_lost: bool = False) -> bool:
        """Makes the change and tells it; whether it concerned some proxy. Lost, it is told to nobody."""
        self.world.apply(change)
        keys = frozenset(self.database.changed())
        has_readers = any(self.hub.readers(key) for key in keys)
        self.hub.publish(frozenset() if is_lost else keys)
        return has_readers

    def tidy(self) -> None:
        self.catalogue.release(lambda key: bool(self.hub.readers(key)))


class Link:
    """One proxy, its stream, and what is on the way in both directions."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.envoy = FakeEnvoy()
        self.stream: Stream | None = None
        self.has_refused = False
        self.refused: set[str] = set()  # clusters whose endpoints it refused while they warmed
        self._to_server: deque[Requested] = deque()

    def admitted(self, plane: ControlPlane) -> Proxy:
        """The proxy as the catalogue knows it."""
        proxy = plane.catalogue.admit("", self.post.node_id, {})
        assert isinstance(proxy, Proxy), proxy
        return proxy

    async def connect(self, plane: ControlPlane) -> None:
        """A new stream; the one before, if there is one, breaks with all that was on it."""
        if self.stream is not None:
            plane.hub.disconnect(self.stream)
        self.stream = await plane.hub.connect(self.admitted(plane))
        self.has_refused = False
        self._to_server = deque(self.envoy.connect())

    def restart(self) -> None:
        """Its process ends; the next connection is a new one's."""
        self.envoy = FakeEnvoy(refuses=self.envoy.refuses)
        self.refused.clear()

    def wait_out(self) -> None:
        """Envoy's own patience ends, and so does draining. Only a cluster whose endpoints it refused may still wait."""
        assert self.is_warm, self.envoy.warming.keys()
        self._to_server.extend([*self.envoy.give_up_warming(), *self.envoy.end_draining()])

    def ask(self, name: str, *, is_cluster: bool) -> None:
        asked = self.envoy.ask_cluster(name) if is_cluster else self.envoy.ask_virtual_host(name)
        self._to_server.extend(asked)

    async def server_reads(self, plane: ControlPlane, n: int) -> int:
        n_read = min(n, len(self._to_server))
        for _ in range(n_read):
            assert self.stream is not None
            request = self._to_server.popleft()
            self.has_refused |= request.error is not None
            await plane.hub.receive(self.stream, request)
        return n_read

    async def envoy_reads(self, n: int) -> int:
        n_read = 0
        while self.stream is not None and self.stream.outbox.n_bytes and n_read < n:
            message = await self.stream.outbox.next()
            assert message is not None
            response = sent(message)
            requests = self.envoy.receive(response)
            if response.type_url == names.TYPE_ENDPOINTS and any(request.error for request in requests):
                self.refused.update(e.name for e in response.entries if e.name in self.envoy.warming)
            self._to_server.extend(requests)
            n_read += 1
        return n_read

    @property
    def is_warm(self) -> bool:
        """Whether no cluster waits for endpoints, those aside that it refused."""
        return self.envoy.warming.keys() <= self.refused

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on the way, and no change waits to be told."""
        assert self.stream is not None
        return not self._to_server and not self.stream.outbox.n_bytes and not self.stream.changed
