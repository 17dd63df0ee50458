"""A fleet of fake proxies in one process: a thousand and more, each with a connection of its own, as Envoys have.

Each member stands beside an instance of a mesh. It connects, waits until it could take a call, and then asks for what its
workload calls. What it holds in the end can be compared with what a fresh catalogue would give it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import msgspec

from byway.ads.catalogue import PLACEHOLDER, Catalogue, Proxy, Refusal
from byway.ads.subscription import UNASKED
from byway.model import names
from byway.model.names import DEFAULT_TRUST_DOMAIN
from byway.testing.fake_envoy import Content, FakeEnvoy, ProtobufContent, Refuses
from byway.testing.fake_proxy import FakeProxy
from byway.testing.population import Instance, Population, instances_of

_CHANNEL_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # else channels to one address share a connection
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Where a proxy stands, and what its workload calls: pairs of whether that is a cluster (or a virtual host), and its name."""

    instance: str
    namespace: str
    address: str
    account: str
    questions: tuple[tuple[bool, str], ...]

    @property
    def node_id(self) -> str:
        """The id that an agent gives its Envoy."""
        return f"sidecar~{self.address}~{self.instance}.{self.namespace}~{self.namespace}.svc.{names.DOMAIN_SUFFIX}"

    @property
    def identity(self) -> str:
        """What its certificate says."""
        return f"spiffe://{DEFAULT_TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.account}"


def posts(population: Population) -> Iterator[Post]:
    """A post at the first instance of every service, then at the second of every one that has two, and so on."""
    remaining: list[tuple[tuple[tuple[bool, str], ...], Iterator[Instance]]] = [
        (population.questions(service), instances_of(service)) for service in population.services
    ]
    while remaining:
        again = []
        for questions, instances in remaining:
            instance = next(instances, None)
            if instance is not None:
                again.append((questions, instances))
                yield Post(
                    instance=instance.name,
                    namespace=instance.namespace,
                    address=instance.address,
                    account=instance.service,
                    questions=questions,
                )
        remaining = again


class Member:
    """One proxy of a fleet."""

    def __init__(self, target: str, post: Post) -> None:
        self.post = post
        self.envoy = FakeEnvoy()
        self.n_responses = 0  # over all its connections, as are the bytes
        self.n_bytes = 0
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._proxy: FakeProxy | None = None
        self._recorded: list[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its stream is not there, or no more."""
        return self._proxy is None or self._proxy.has_ended

    def move(self, target: str) -> None:
        """From its next connection on, it goes to the control plane at `target`."""
        self._target = target

    def record(self) -> list[bytes]:
        """From now on it keeps the responses that come: in this list."""
        self._recorded = []
        if self._proxy is not None:
            self._proxy.recorded = self._recorded
        return self._recorded

    async def open(self, is_so: Callable[[FakeEnvoy], bool], timeout_s: float) -> None:
        """Connects with what it holds, and returns once something holds of what it has."""
        self._channel = grpc.aio.insecure_channel(self._target, options=_CHANNEL_OPTIONS)
        self._proxy = FakeProxy(self._channel, self.post.node_id, envoy=self.envoy)
        self._proxy.recorded = self._recorded
        self._proxy.connect()
        await self._proxy.until(is_so, timeout_s=timeout_s)

    async def connect(self, timeout_s: float) -> None:
        """Connects, and asks for all that its workload calls; returns once it has all of that."""
        await self.open(lambda envoy: envoy.is_open, timeout_s)
        for is_cluster, name in self.post.questions:
            self.ask(name, is_cluster=is_cluster)
        await self.until(lambda envoy: envoy.is_complete, timeout_s)

    def ask(self, name: str, *, is_cluster: bool = False) -> None:
        """Its workload makes a first call."""
        assert self._proxy is not None
        if is_cluster:
            self._proxy.ask_cluster(name)
        else:
            self._proxy.ask_virtual_host(name)

    async def until(self, is_so: Callable[[FakeEnvoy], bool], timeout_s: float) -> None:
        """Waits until something holds of what it has."""
        assert self._proxy is not None
        await self._proxy.until(is_so, timeout_s=timeout_s)

    async def disconnect(self) -> None:
        """Ends its stream; what it holds stays."""
        proxy, channel = self._proxy, self._channel
        self._proxy = self._channel = None
        if proxy is not None:
            await proxy.disconnect()
            self.n_responses += proxy.n_responses
            self.n_bytes += proxy.n_bytes
        if channel is not None:
            await channel.close(None)

    def received(self) -> tuple[int, int]:
        """Responses and bytes that it has received."""
        now = self._proxy
        return self.n_responses + (now.n_responses if now else 0), self.n_bytes + (now.n_bytes if now else 0)


class Received(msgspec.Struct, frozen=True):
    """What a fleet has received since it was made."""

    n_responses: int
    n_resources: int
    n_bytes: int

    def since(self, before: Received) -> Received:
        """What came after `before`."""
        return Received(
            self.n_responses - before.n_responses,
            self.n_resources - before.n_resources,
            self.n_bytes - before.n_bytes,
        )


class Fleet:
    """Proxies at these posts, of one control plane at `target` that takes their word for who they are."""

    def __init__(self, target: str, places: Iterable[Post]) -> None:
        self.members: tuple[Member, ...] = tuple(Member(target, post) for post in places)

    async def connect(self, timeout_s: float = 60.0) -> None:
        """All at once; returns when every one holds all that it has asked for."""
        await _all(member.connect(timeout_s) for member in self.members)

    async def open(self, is_so: Callable[[FakeEnvoy], bool], timeout_s: float = 60.0) -> None:
        """The same without a question: returns when something holds of each."""
        await _all(member.open(is_so, timeout_s) for member in self.members)

    def move(self, target: str) -> None:
        """From their next connections on, they go to the control plane at `target`."""
        for member in self.members:
            member.move(target)

    async def disconnect(self) -> None:
        """All of them go away, and keep what they hold."""
        await _all(member.disconnect() for member in self.members)

    def refuse(self, refuses: Refuses) -> None:
        """From now on every proxy refuses what `refuses` gives a reason for."""
        for member in self.members:
            member.envoy.refuses = refuses

    @property
    def n_connected(self) -> int:
        """How many streams are open."""
        return sum(not member.has_ended for member in self.members)

    def received(self) -> Received:
        """All that has come in."""
        counts = [member.received() for member in self.members]
        n_resources = sum(member.envoy.n_received for member in self.members)
        return Received(sum(n for n, _ in counts), n_resources, sum(n for _, n in counts))

    def mismatches(self, catalogue: Catalogue) -> tuple[str, ...]:
        """What any proxy holds that `catalogue`, best a fresh one, would not give it, or the other way round."""
        return tuple(text for member in self.members for text in _member_mismatches(member, catalogue))


def _member_mismatches(member: Member, catalogue: Catalogue) -> Iterator[str]:
    post = member.post
    proxy = catalogue.admit(post.identity, post.node_id, {})
    if isinstance(proxy, Refusal):
        yield f"{post.instance}.{post.namespace}: {proxy.reason}"
        return
    yield from mismatches(member.envoy, proxy, catalogue)


def mismatches(envoy: FakeEnvoy, proxy: Proxy, catalogue: Catalogue, content: Content | None = None) -> Iterator[str]:
    """Each resource in which what `envoy` holds differs from what `proxy` is given afresh for the same questions.

    What it was once given unasked it keeps.
    """
    wanted = _Wanted(proxy, catalogue, content or ProtobufContent(), envoy)
    for type_url, expected in wanted.bodies.items():
        held = envoy.of(type_url)
        for name in sorted(expected.keys() | held.keys()):
            if held.get(name) != expected.get(name):
                fault = "is missing" if name not in held else "is too much" if name not in expected else "is old"
                yield f"{proxy.instance}.{proxy.namespace}: {type_url.rpartition('.')[2]} {name} {fault}"
    for name in envoy.asked(names.TYPE_VIRTUAL_HOST):
        if name not in envoy.answered:
            yield f"{proxy.instance}.{proxy.namespace}: the virtual host {name} was never answered"


class _Wanted:
    """What a proxy that has asked what `envoy` has asked must hold, by type and name."""

    def __init__(self, proxy: Proxy, catalogue: Catalogue, content: Content, envoy: FakeEnvoy) -> None:
        self.bodies: dict[str, dict[str, bytes]] = {}
        self._proxy = proxy
        self._catalogue = catalogue
        self._clusters = dict.fromkeys((*catalogue.clusters(proxy), *envoy.asked(names.TYPE_CLUSTER)))
        listeners = self._put(names.TYPE_LISTENER, catalogue.listeners(proxy))
        named = (route for body in listeners.values() for route in content.routes(body))
        routes = dict.fromkeys((*named, *envoy.draining))
        self._put(names.TYPE_ROUTE, tuple(routes))
        known = [name for type_url, name in catalogue.known(proxy) if type_url == names.TYPE_VIRTUAL_HOST]
        known += (n for n, v in envoy.versions.get(names.TYPE_VIRTUAL_HOST, {}).items() if v.endswith(UNASKED))
        self._put(names.TYPE_VIRTUAL_HOST, (PLACEHOLDER, *envoy.asked(names.TYPE_VIRTUAL_HOST), *known))
        clusters = self._put(names.TYPE_CLUSTER, tuple(self._clusters))
        self._put(names.TYPE_ENDPOINTS, tuple(name for name, body in clusters.items() if content.is_eds(body)))

    def _put(self, type_url: str, wanted: Sequence[str]) -> dict[str, bytes]:
        bodies = self.bodies.setdefault(type_url, {})
        for name in wanted:
            found = self._catalogue.lookup(self._proxy, type_url, name).resource
            if found is not None:
                bodies[found.name] = found.any_bytes
                self._clusters.update(dict.fromkeys(found.requires))
        return bodies


async def _all(deeds: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Does all of it at once; the first failure is raised once all have ended."""
    ends = await asyncio.gather(*deeds, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
