"""A change goes to those whom it concerns, once, and nobody waits for anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from byway.ads.catalogue import Lookup, Proxy
from byway.ads.hub import Hub, Pace, Stream
from byway.base.clock import SystemClock
from byway.model import names
from byway.testing.fake_proxy import FakeEnvoy, sent
from byway.testing.memory_catalogue import MemoryCatalogue
from byway.xds.resource import Resource
from tests.unit.ads.conversation import resource, service


class Plain:
    """In these tests every cluster but `tcp|…` has its endpoints over EDS, and no listener has routes."""

    def is_eds(self, cluster: bytes) -> bool:
        return b"tcp|" not in cluster

    def routes(self, listener: bytes) -> tuple[str, ...]:
        return ()

    def is_on_demand(self, route: bytes) -> bool:
        return False


class Client:
    """One stream with a fake Envoy at its other end, which answers unless it is told to read no more."""

    def __init__(self, hub: Hub, stream: Stream, envoy: FakeEnvoy) -> None:
        self.hub = hub
        self.stream = stream
        self.envoy = envoy
        self.reading = asyncio.Event()
        self.reading.set()
        self.moved = asyncio.Condition()

    async def run(self) -> None:
        await self.say(self.envoy.connect())
        while (message := await self.stream.outbox.next()) is not None:
            await self.reading.wait()  # meanwhile the write has not ended
            await self.say(self.envoy.receive(sent(message)))
            async with self.moved:
                self.moved.notify_all()

    async def say(self, requests: list[Any]) -> None:
        for request in requests:
            await self.hub.receive(self.stream, request)

    async def until_holds(self, type_url: str, name: str) -> None:
        async with asyncio.timeout(5), self.moved:
            await self.moved.wait_for(lambda: name in self.envoy.of(type_url))


class Fixture:
    """A running hub."""

    def __init__(self, catalogue: MemoryCatalogue, pace: Pace) -> None:
        self.catalogue = catalogue
        self.hub = Hub(catalogue, SystemClock(), pace)
        self.tasks: list[asyncio.Task[None]] = [asyncio.create_task(self.hub.run())]

    async def client(self, instance: str, *hosts: str, envoy: FakeEnvoy | None = None) -> Client:
        """A connected proxy that has called `hosts`."""
        proxy = Proxy(
            instance=instance, namespace="default", identity=f"spiffe://cluster.local/ns/default/sa/{instance}"
        )
        client = Client(self.hub, await self.hub.connect(proxy), envoy or FakeEnvoy(content=Plain()))
        self.tasks.append(asyncio.create_task(client.run()))
        await client.until_holds(names.TYPE_LISTENER, "main")
        for host in hosts:
            await client.say(client.envoy.ask_virtual_host(f"out/{host}"))
            await client.until_holds(names.TYPE_VIRTUAL_HOST, f"out/{host}")
        await self.quiet(client)
        return client

    async def quiet(self, client: Client) -> None:
        """Waits until everything is answered."""
        async with asyncio.timeout(5):
            while not client.stream.session.is_in_sync:
                await turn()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def turn() -> None:
    """Lets everything else have its turn."""
    await asyncio.sleep(0)


def catalogue_of(*services: str) -> MemoryCatalogue:
    catalogue = MemoryCatalogue()
    catalogue.put(resource("lds", "main"), *(r for name in services for r in service(name)))
    catalogue.set_roots(listeners=("main",))
    return catalogue


@contextlib.asynccontextmanager
async def running(catalogue: MemoryCatalogue, **pace: Any) -> AsyncIterator[Fixture]:
    fixture = Fixture(catalogue, Pace(**{"window_s": 0.01, "tick_s": 0.02} | pace))
    try:
        yield fixture
    finally:
        await fixture.close()


async def test_a_change_goes_only_to_those_who_hold_it() -> None:
    """Two proxies of three called `a`."""
    async with running(catalogue_of("a", "b")) as fixture:
        clients = [
            await fixture.client("one", "a"),
            await fixture.client("two", "a", "b"),
            await fixture.client("three", "b"),
        ]
        before = [client.envoy.n_received for client in clients]
        result = await fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=2))).done(5)
        assert (result.n_connected, result.n_affected, result.n_acked, result.n_resources_sent) == (3, 2, 2, 2)
        assert result.is_complete
        assert [client.envoy.n_received - n for client, n in zip(clients, before, strict=True)] == [1, 1, 0]


async def test_a_change_that_nobody_holds_is_done_at_once() -> None:
    """And counts nobody."""
    async with running(catalogue_of("a")) as fixture:
        await fixture.client("one", "a")
        result = await fixture.hub.publish(fixture.catalogue.put(*service("b"))).done(0)
        assert (result.n_affected, result.n_connected, result.is_complete) == (0, 1, True)


async def test_a_rollout_tells_who_refuses_and_why() -> None:
    """The refusal of one proxy; the other one takes it."""

    def refuses(type_url: str, name: str, body: bytes) -> str | None:
        return "no such filter" if b" 2 " in body else None

    async with running(catalogue_of("a")) as fixture:
        await fixture.client("good", "a")
        await fixture.client("bad", "a", envoy=FakeEnvoy(content=Plain(), refuses=refuses))
        result = await fixture.hub.publish(fixture.catalogue.put(resource("vhds", "out/a", ("a",), n=2))).done(5)
        assert (result.n_affected, result.n_acked, result.is_complete) == (2, 1, False)
        assert [(n.proxy.instance, n.name, n.reason) for n in result.refusals] == [("bad", "out/a", "no such filter")]
        shown = {proxy.proxy.instance: proxy for proxy in fixture.hub.snapshot()}
        assert shown["good"].is_in_sync
        assert not shown["bad"].is_in_sync
        assert shown["bad"].last_error is not None
        await fixture.hub.publish(fixture.catalogue.put(resource("vhds", "out/a", ("a",), n=3))).done(5)
        assert all(proxy.is_in_sync and proxy.last_error is None for proxy in fixture.hub.snapshot())


async def test_a_rollout_does_not_wait_for_one_who_leaves() -> None:
    """It will get the newest state when it comes back."""
    async with running(catalogue_of("a")) as fixture:
        stays, leaves = await fixture.client("stays", "a"), await fixture.client("leaves", "a")
        leaves.reading.clear()
        rollout = fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=2)))
        partial = await rollout.done(0.1)
        assert (partial.n_affected, partial.n_acked, partial.is_complete) == (2, 1, False)
        fixture.hub.disconnect(leaves.stream)
        result = await rollout.done(5)
        assert (result.n_affected, result.n_acked) == (1, 1)
        assert stays.stream.session.is_in_sync


async def test_one_who_leaves_leaves_nothing_behind() -> None:
    """No reader in the index, so no proxy that a change would concern."""
    async with running(catalogue_of("a")) as fixture:
        client = await fixture.client("one", "a")
        key = (names.TYPE_ENDPOINTS, "a")
        assert [proxy.instance for proxy in fixture.hub.readers(key)] == ["one"]
        fixture.hub.disconnect(client.stream)
        assert fixture.hub.readers(key) == ()
        assert fixture.hub.snapshot() == ()
        assert not fixture.hub.publish({key}).result(0).n_affected


async def test_no_step_is_taken_while_a_proposal_is_proved() -> None:
    """Neither for a request nor for a change: what is not decided must not be seen."""
    async with running(catalogue_of("a")) as fixture:
        client = await fixture.client("one", "a")
        n_lookups = fixture.catalogue.n_lookups
        fixture.catalogue.is_settled.clear()
        rollout = fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=2)))
        asking = asyncio.create_task(client.say(client.envoy.ask_virtual_host("out/a2")))
        assert (await rollout.done(0.1)).n_acked == 0
        assert fixture.catalogue.n_lookups == n_lookups
        fixture.catalogue.is_settled.set()
        assert (await rollout.done(5)).n_acked == 1
        await asking


async def test_the_first_change_goes_at_once_and_a_burst_in_a_few_pushes() -> None:
    """A thousand edits reach a proxy in no more pushes than there are windows, and the last one arrives."""
    window_s = 0.25
    async with running(catalogue_of("a"), window_s=window_s) as fixture:
        client = await fixture.client("one", "a")
        started = time.monotonic()
        first = await fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=2))).done(5)
        assert first.seconds < window_s / 2
        n_pushes = fixture.hub.n_pushes
        for n in range(1_000):
            rollout = fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=3 + n)))
            await turn()
        assert (await rollout.done(5)).n_acked == 1
        assert fixture.hub.n_pushes - n_pushes <= (time.monotonic() - started) / window_s + 1
        wanted = fixture.catalogue.resources[names.TYPE_ENDPOINTS, "a"]
        assert client.envoy.of(names.TYPE_ENDPOINTS)["a"] == wanted.any_bytes


async def test_one_who_does_not_read_is_cut_off_and_the_others_are_not() -> None:
    """Its queue stays as small as what it subscribed to, however much changes meanwhile."""
    async with running(catalogue_of("a"), write_deadline_s=0.2) as fixture:
        good, slow = await fixture.client("good", "a"), await fixture.client("slow", "a")
        slow.reading.clear()
        for n in range(2, 50):
            await fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=n))).done(0.01)
        assert slow.stream.outbox.n_bytes < 1_000
        async with asyncio.timeout(5):
            close = await slow.stream.outbox.closing
        assert close.code == "DEADLINE_EXCEEDED"
        await fixture.quiet(good)
        assert not good.stream.outbox.closing.done()
        wanted = fixture.catalogue.resources[names.TYPE_ENDPOINTS, "a"]
        assert good.envoy.of(names.TYPE_ENDPOINTS)["a"] == wanted.any_bytes


class Faulty(MemoryCatalogue):
    """A catalogue with a defect that one proxy meets."""

    def lookup(self, proxy: Proxy, type_url: str, name: str) -> Lookup:
        found = super().lookup(proxy, type_url, name)
        if proxy.instance == "unlucky" and isinstance(found.resource, Resource) and b" 2 " in found.resource.any_bytes:
            raise ZeroDivisionError
        return found


async def test_a_defect_met_by_one_stream_ends_that_stream_only(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its trace; the others get the change."""
    catalogue = Faulty()
    catalogue.put(resource("lds", "main"), *service("a"))
    catalogue.set_roots(listeners=("main",))
    async with running(catalogue) as fixture:
        unlucky, lucky = await fixture.client("unlucky", "a"), await fixture.client("lucky", "a")
        rollout = fixture.hub.publish(catalogue.put(resource("eds", "a", n=2)))
        async with asyncio.timeout(5):
            assert (await unlucky.stream.outbox.closing).code == "INTERNAL"
        fixture.hub.disconnect(unlucky.stream)
        assert (await rollout.done(5)).n_acked == 1
        assert lucky.stream.session.is_in_sync
        assert "ZeroDivisionError" in caplog.text


async def test_in_a_storm_proxies_start_by_turns() -> None:
    """One at a time here; the second comes in when the first is in sync, and everybody gets there."""
    async with running(catalogue_of("a"), n_starting=1) as fixture:
        hub, proxies = fixture.hub, [
            Proxy(instance=name, namespace="default", identity=f"spiffe://cluster.local/ns/default/sa/{name}")
            for name in ("one", "two")
        ]  # fmt: skip
        first = await hub.connect(proxies[0])
        second = asyncio.create_task(hub.connect(proxies[1]))
        while "byway_xds_waiting 1.0" not in hub.metrics():
            await turn()
        assert not second.done()
        fixture.tasks.append(asyncio.create_task(Client(hub, first, FakeEnvoy(content=Plain())).run()))
        async with asyncio.timeout(5):
            await second
        assert "byway_xds_waiting 0.0" in hub.metrics()


async def test_the_hub_measures_itself_under_istios_names() -> None:
    """A change that one proxy holds is one convergence, one wait in the queue, one more endpoints response."""
    async with running(catalogue_of("a")) as fixture:
        await fixture.client("one", "a")
        before = fixture.hub.metrics()
        await fixture.hub.publish(fixture.catalogue.put(resource("eds", "a", n=2))).done(5)
        after = fixture.hub.metrics()
    assert "pilot_proxy_convergence_time_count 0.0" in before
    assert "pilot_proxy_convergence_time_count 1.0" in after
    assert "pilot_proxy_queue_time_count 1.0" in after
    assert 'pilot_xds_pushes_total{type="eds"} 1.0' in before
    assert 'pilot_xds_pushes_total{type="eds"} 2.0' in after
    assert "pilot_xds 1.0" in after


async def test_what_an_eager_proxy_is_offered_is_derived_a_little_at_a_time() -> None:
    """Others have their turn meanwhile; when the offer changes, only what is new is derived."""
    catalogue = catalogue_of("a", "b", *(f"s{n}" for n in range(500)))
    catalogue.set_offer(virtual_hosts=tuple(f"out/s{n}" for n in range(500)))
    async with running(catalogue) as fixture:
        seen: list[int] = []
        connecting = asyncio.create_task(fixture.client("one", "b"))
        while not connecting.done() and not fixture.hub.n_connected:
            seen.append(catalogue.n_lookups)
            await turn()
        assert max(after - before for before, after in itertools.pairwise(seen)) <= 3 * 50
        assert seen[-1] > 500
        client = await connecting
        assert client.envoy.of(names.TYPE_VIRTUAL_HOST).keys() >= {"out/s0", "out/s499"}
        before = catalogue.n_lookups
        offer = catalogue.set_offer(virtual_hosts=("out/a", *(f"out/s{n}" for n in range(500))))
        result = await fixture.hub.publish(offer).done(5)
        assert (result.n_affected, result.is_complete) == (1, True)
        await client.until_holds(names.TYPE_VIRTUAL_HOST, "out/a")
        assert catalogue.n_lookups - before < 20
