"""Whatever is edited, asked, refused, lost or restarted: every proxy ends with exactly what derivation from scratch gives it."""

from __future__ import annotations

import asyncio

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, event, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from byway.ads.order import INHERITANCE_GRACE_S
from byway.kinds.resource import Resource, ResourceId
from byway.testing.fleet import mismatches, posts
from byway.testing.generated_mesh import (
    GeneratedMesh,
    entry,
    mesh_access,
    peer_policy,
    routes,
    service_resource,
    subsets,
)
from byway.testing.population import TEAM, Size, instances_of
from byway.world.change import Change
from tests.unit.scale.links import ControlPlane, Link, TurnedClock

MESH = GeneratedMesh(Size(n_services=TEAM + 4, n_endpoints=60))
SERVICES = MESH.population.services
STARTED = {resource.id: resource for resource in MESH.resources()}
POSTS = [post for post in posts(MESH.population) if post.instance in ("web-0", "search-0", "payments-0", "ledger-0")]
OWN = {ResourceId("WorkloadEntry", post.namespace, post.instance) for post in POSTS}
HOSTS = ("ledger", "stock.team-0", "session.team-0.svc.cluster.local", "store", "web.team-1", "nobody", "directory")
ADDRESSES = (*(f"tcp|{s.vip}:{s.port}" for s in SERVICES if s.is_tcp), "tcp|240.240.9.9:1")


def _pool() -> list[Resource]:
    """Every kind of resource in some variants; the same ids again and again, so that edits meet."""
    found: list[Resource] = [mesh_access(denied="/a"), mesh_access(denied="/b")]
    for service in SERVICES:
        if service.namespace != "team-0" or service.name not in ("ledger", "stock", "session", "store", "search"):
            continue
        found += [service_resource(service), peer_policy(service)]
        found += [MESH.access(service, path=path) for path in ("/x", "/y")]
        found += [entry(i, service, weight=weight) for i in list(instances_of(service))[:2] for weight in (1, 2, 3)]
        found += [entry(i, service, address="10.99.0.1") for i in list(instances_of(service))[:1]]
        if not service.is_tcp:
            found += [
                *(subsets(service, n_errors=n) for n in (5, 6)),
                routes(service, share=5),
                routes(service, share=50),
            ]
    return found


POOL = _pool()
REFUSED = st.sampled_from(("", "ledger", "stock", "outbound|", "inbound/", "out/"))
LINKS = st.integers(0, len(POSTS) - 1)


class Convergence(RuleBasedStateMachine):
    """A control plane under edit, some proxies, and everything that can happen between them."""

    has_faults = False
    """Whether publications get lost: with it the machine must fail, or it looks at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = TurnedClock()
        self.n_reached = 0  # publications that concerned some proxy
        self.present: dict[ResourceId, Resource] = dict(STARTED)
        self.runner = asyncio.Runner()
        self.plane = ControlPlane(self.present.values(), self.clock)
        self.links = [Link(post) for post in POSTS]
        self.runner.run(self._start())

    async def _start(self) -> None:
        """Every proxy is in sync and calls something, so that an edit has somebody to reach from the first step on."""
        self.plane.start()
        for link in self.links:
            await link.connect(self.plane)
        await self._quiesce()
        for link in self.links:
            for host in HOSTS[:3]:
                link.ask(f"out/{host}:8080", is_cluster=False)
            link.ask(ADDRESSES[0], is_cluster=True)
        await self._quiesce()

    # --- what may happen ---

    @rule(edits=st.lists(st.tuples(st.integers(0, len(POOL) - 1), st.booleans()), min_size=1, max_size=3))
    def resources_change(self, edits: list[tuple[int, bool]]) -> None:
        """By number in the pool: Hypothesis would print whole resources."""
        puts: dict[ResourceId, Resource] = {}
        removes: set[ResourceId] = set()
        for number, is_put in edits:
            resource = POOL[number]
            if is_put:
                puts[resource.id] = resource
                removes.discard(resource.id)
            elif resource.id not in OWN:
                removes.add(resource.id)
                puts.pop(resource.id, None)
        self.present = {i: r for i, r in self.present.items() if i not in removes} | puts
        self.runner.run(self._change(Change(tuple(puts.values()), tuple(sorted(removes)))))

    async def _change(self, change: Change) -> None:
        self.n_reached += self.plane.apply(change, is_lost=self.has_faults)

    @rule(number=st.integers(0, len(POOL) - 1), n_requests=st.integers(1, 3))
    def one_resource_changes_while_messages_are_on_the_way(self, number: int, n_requests: int) -> None:
        """What is there already is taken away, so that nearly each is a change."""
        resource = POOL[number]
        self.resources_change([(number, self.present.get(resource.id) != resource)])
        for link in self.links:
            self.runner.run(self._carry(link, n_requests, n_requests))

    @rule(n=LINKS, host=st.sampled_from(HOSTS))
    def host_is_called(self, n: int, host: str) -> None:
        link = self.links[n]
        if link.envoy.is_open:
            link.ask(f"out/{host}:8080", is_cluster=False)

    @rule(n=LINKS, address=st.sampled_from(ADDRESSES))
    def address_is_called(self, n: int, address: str) -> None:
        link = self.links[n]
        if link.envoy.is_open:
            link.ask(address, is_cluster=True)

    @rule(numbers=st.lists(st.integers(0, len(POOL) - 1), min_size=2, max_size=5))
    def a_burst_of_changes(self, numbers: list[int]) -> None:
        for number in numbers:
            self.resources_change([(number, self.present.get(POOL[number].id) != POOL[number])])

    @rule(n=LINKS, n_requests=st.integers(1, 4), n_responses=st.integers(1, 4))
    def messages_arrive(self, n: int, n_requests: int, n_responses: int) -> None:
        self.runner.run(self._carry(self.links[n], n_requests, n_responses))

    @rule()
    def all_catch_up(self) -> None:
        """Then no cluster waits for endpoints; only for some that were refused."""
        self.runner.run(self._quiesce())
        for link in self.links:
            assert link.is_warm, link.envoy.warming.keys()

    @rule(n=LINKS)
    def stream_breaks(self, n: int) -> None:
        self.runner.run(self.links[n].connect(self.plane))

    @rule(number=st.integers(0, len(POOL) - 1), n_responses=st.integers(1, 3))
    def streams_break_in_the_middle_of_a_change(self, number: int, n_responses: int) -> None:
        """For one, between a cluster and its endpoints."""
        self.all_catch_up()
        self.resources_change([(number, self.present.get(POOL[number].id) != POOL[number])])
        for link in self.links:
            self.runner.run(self._carry(link, 0, n_responses))
            self.runner.run(link.connect(self.plane))

    @rule(n=LINKS)
    def proxy_restarts(self, n: int) -> None:
        self.links[n].restart()
        self.runner.run(self.links[n].connect(self.plane))

    @rule()
    def control_plane_restarts(self) -> None:
        self.runner.run(self._restart())

    @rule(n=LINKS, word=REFUSED)
    def proxy_takes_against(self, n: int, word: str) -> None:
        """From now on it refuses what has that in its name; with no word it takes everything again."""
        reason = f"no {word}"
        self.links[n].envoy.refuses = lambda _, name, __: reason if word and word in name else None

    @rule()
    def control_plane_tidies(self) -> None:
        self.plane.tidy()

    @rule(seconds=st.floats(0.1, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.runner.run(self._pass(seconds))

    # --- how it comes about ---

    async def _carry(self, link: Link, n_requests: int, n_responses: int) -> None:
        await link.server_reads(self.plane, n_requests)
        await asyncio.sleep(0)
        await link.envoy_reads(n_responses)

    async def _restart(self) -> None:
        await self.plane.stop()
        self.plane = ControlPlane(self.present.values(), self.clock)
        self.plane.start()
        for link in self.links:
            link.stream = None
            await link.connect(self.plane)

    async def _pass(self, seconds: float) -> None:
        await self._quiesce()  # what was sent has arrived by then
        self.clock.seconds += seconds
        for _ in range(2):
            self.clock.looked.clear()  # nothing else is going on, so whoever looks is the hub's tick
            await asyncio.wait_for(self.clock.looked.wait(), 5)
        await self._quiesce()

    async def _quiesce(self) -> None:
        for _ in range(2_000):
            n_moved = 0
            for link in self.links:
                n_moved += await link.server_reads(self.plane, 100) + await link.envoy_reads(100)
            await asyncio.sleep(0)
            if not n_moved and all(link.is_quiet for link in self.links):
                return
        raise AssertionError("it does not come to rest")

    # --- what must hold ---

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        await self._settle()
        self._who_is_said_to_be_in_sync_is()
        for link in self.links:
            link.envoy.refuses = lambda _, __, ___: None
            if link.has_refused:  # what it refused is not sent again before it changes, or the proxy comes again
                await link.connect(self.plane)
        await self._settle()
        event(f"publications that reached a proxy: {min(self.n_reached, 5)}")
        assert self._mismatches(self.links) == []
        await self._nothing_is_sent_again()
        await self.plane.stop()

    async def _settle(self) -> None:
        """Everything arrives, and every wait that there is has come to its end."""
        await self._quiesce()
        for _ in range(2):
            await self._pass(INHERITANCE_GRACE_S + 1)
        for link in self.links:
            link.wait_out()
        await self._quiesce()

    def _mismatches(self, links: list[Link]) -> list[str]:
        fresh = ControlPlane(self.present.values(), self.clock)
        return [t for link in links for t in mismatches(link.envoy, link.admitted(fresh), fresh.catalogue)]

    def _who_is_said_to_be_in_sync_is(self) -> None:
        """Also while some refuse what they are sent."""
        said = [link for link in self.links if link.stream is not None and link.stream.session.is_in_sync]
        assert self._mismatches(said) == []

    async def _nothing_is_sent_again(self) -> None:
        before = [link.envoy.n_received for link in self.links]
        await self._restart()
        await self._quiesce()
        assert [link.envoy.n_received for link in self.links] == before


Convergence.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestConvergence = Convergence.TestCase


class Lossy(Convergence):
    """The same, where no change is told to anybody."""

    has_faults = True


def test_the_machine_would_see_a_change_that_is_not_told() -> None:
    """Else its silence would mean nothing."""
    chosen = settings(max_examples=40, stateful_step_count=30, deadline=None, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=r"is old|is too much|is missing"):
        run_state_machine_as_test(Lossy, settings=chosen)
