"""Whatever is edited, asked, refused, lost or reconnected: a proxy ends with what the catalogue says, and never breaks."""

from __future__ import annotations

import json
from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from byway.ads.action import Close, Send
from byway.ads.catalogue import PLACEHOLDER, Proxy
from byway.ads.event import Changed, Requested, Tick
from byway.ads.order import INHERITANCE_GRACE_S
from byway.ads.session import Session
from byway.model import names
from byway.testing.fake_proxy import FakeEnvoy
from byway.testing.memory_catalogue import Keys, MemoryCatalogue
from byway.xds.resource import Resource

SERVICES = ("a", "b", "c")
PROXY = Proxy(instance="web-1", namespace="default", identity="spiffe://cluster.local/ns/default/sa/web")


class JsonContent:
    """Bodies of these tests are JSON, not protobuf."""

    def is_eds(self, cluster: bytes) -> bool:
        return bool(json.loads(cluster)["eds"])

    def routes(self, listener: bytes) -> tuple[str, ...]:
        return tuple(json.loads(listener)["routes"])

    def is_on_demand(self, route: bytes) -> bool:
        return bool(json.loads(route)["vhds"])


def resource(type_url: str, name: str, requires: tuple[str, ...] = (), **body: object) -> Resource:
    content = json.dumps({"requires": requires, **body}, sort_keys=True).encode()
    return Resource.of(type_url, name, content, requires)


def requirements(body: bytes) -> set[str]:
    return set(json.loads(body)["requires"]) if body.startswith(b"{") else set()


class Convergence(RuleBasedStateMachine):
    """A catalogue under edit, one session, one fake Envoy, and two queues between them."""

    def __init__(self) -> None:
        super().__init__()
        self.catalogue = MemoryCatalogue()
        self.envoy = FakeEnvoy(content=JsonContent(), refuses=self._refuses)
        self.now = 0.0
        self.revision = 0
        self.n_edits = 0
        self.asked: set[str] = set()
        self.asked_clusters: set[str] = set()
        self.catalogue.put(resource(names.TYPE_ROUTE, "out", vhds=True))
        self.catalogue.put(resource(names.TYPE_LISTENER, "outbound", ("passthrough",), routes=["out"], n=0))
        self.catalogue.put(resource(names.TYPE_CLUSTER, "passthrough", eds=False, n=0))
        self.catalogue.set_roots(listeners=("outbound",), clusters=("passthrough",))
        for service in SERVICES:
            self._tcp(service, 0)
        self.to_server: deque[Requested] = deque()
        self.to_envoy: deque[Send] = deque()
        self._connect()

    def _refuses(self, type_url: str, name: str, body: bytes) -> str | None:
        return "Envoy will not have it" if b'"bad": true' in body else None

    @property
    def is_any_bad(self) -> bool:
        return any(b'"bad": true' in r.any_bytes for r in self.catalogue.resources.values())

    def _connect(self) -> None:
        self.session = Session(self.catalogue, PROXY, self.revision)
        self.to_server = deque(self.envoy.connect())
        self.to_envoy = deque()

    def _tcp(self, service: str, n: int) -> Keys:
        return self.catalogue.put(resource(names.TYPE_CLUSTER, f"tcp|{service}", eds=False, n=n))

    def _step(self, event: Requested | Changed | Tick) -> None:
        for action in self.session.step(event, self.now):
            if isinstance(action, Close):
                assert action.code == "DEADLINE_EXCEEDED"
                self._connect()
            if isinstance(action, Send):
                self.to_envoy.append(action)

    def _publish(self, keys: Keys) -> None:
        self.revision += 1
        self._step(Changed(keys, self.revision))

    def _service(self, service: str, subsets: list[str], n: int, bad: str) -> Keys:
        """A service of a few subsets: clusters, endpoints, and one virtual host of two spellings."""
        clusters = tuple(f"{subset}|{service}" for subset in subsets)
        keys: set[object] = set()
        for cluster in clusters:
            made = resource(names.TYPE_CLUSTER, cluster, eds=True, n=n, bad=bad == "cluster")
            keys |= self.catalogue.put(made, resource(names.TYPE_ENDPOINTS, cluster, n=n))
        self.catalogue.put(resource(names.TYPE_VIRTUAL_HOST, f"out/{service}", clusters, n=n, bad=bad == "host"))
        return frozenset(keys) | self.catalogue.spell(f"out/{service}", f"out/{service}.default")

    # --- what may happen ---

    @rule(
        service=st.sampled_from(SERVICES),
        subsets=st.lists(st.sampled_from(("v1", "v2")), min_size=1, unique=True),
        bad=st.sampled_from(("", "", "", "host", "cluster")),
        bump=st.booleans(),
    )
    def service_is_set(self, service: str, subsets: list[str], bad: str, bump: bool) -> None:
        self.n_edits += bump
        self._publish(self._service(service, subsets, self.n_edits, bad))

    @rule(service=st.sampled_from(SERVICES))
    def service_is_deleted(self, service: str) -> None:
        questions = [(names.TYPE_VIRTUAL_HOST, f"out/{service}")]
        for subset in ("v1", "v2"):
            questions += [(names.TYPE_CLUSTER, f"{subset}|{service}"), (names.TYPE_ENDPOINTS, f"{subset}|{service}")]
        self._publish(self.catalogue.remove(*questions))

    @rule(service=st.sampled_from(SERVICES), n=st.integers(0, 3))
    def endpoints_change(self, service: str, n: int) -> None:
        if (names.TYPE_CLUSTER, f"v1|{service}") in self.catalogue.resources:
            self._publish(self.catalogue.put(resource(names.TYPE_ENDPOINTS, f"v1|{service}", n=n)))

    @rule(service=st.sampled_from(SERVICES), n=st.integers(0, 3))
    def tcp_cluster_changes(self, service: str, n: int) -> None:
        self._publish(self._tcp(service, n))

    @rule(n=st.integers(0, 3), has_second=st.booleans())
    def roots_change(self, n: int, has_second: bool) -> None:
        clusters = ("passthrough", "second") if has_second else ("passthrough",)
        keys = self.catalogue.put(
            resource(names.TYPE_LISTENER, "outbound", clusters, routes=["out"], n=n),
            resource(names.TYPE_LISTENER, "extra", clusters, routes=[], n=n),
            resource(names.TYPE_CLUSTER, "second", eds=False, n=n),
        )
        listeners = ("outbound", "extra") if has_second else ("outbound",)
        self._publish(keys | self.catalogue.set_roots(listeners=listeners, clusters=("passthrough",)))

    @precondition(lambda self: self.envoy.of(names.TYPE_ROUTE))
    @rule(service=st.sampled_from((*SERVICES, "nobody")), is_long=st.booleans())
    def host_is_asked(self, service: str, is_long: bool) -> None:
        name = f"out/{service}.default" if is_long else f"out/{service}"
        self.asked.add(name)
        self.to_server.extend(self.envoy.ask_virtual_host(name))

    @rule(service=st.sampled_from(SERVICES))
    def destination_is_asked(self, service: str) -> None:
        self.asked_clusters.add(f"tcp|{service}")
        self.to_server.extend(self.envoy.ask_cluster(f"tcp|{service}"))

    @rule(n=st.integers(1, 5))
    def server_reads(self, n: int) -> None:
        for _ in range(min(n, len(self.to_server))):
            self._step(self.to_server.popleft())

    @rule(n=st.integers(1, 5))
    def envoy_reads(self, n: int) -> None:
        for _ in range(min(n, len(self.to_envoy))):
            self.to_server.extend(self.envoy.receive(self.to_envoy.popleft()))
            self.nothing_is_broken()

    @rule()
    def stream_breaks(self) -> None:
        self._connect()

    @rule(hosts=st.sets(st.sampled_from((*SERVICES, "nobody"))), clusters=st.sets(st.sampled_from(SERVICES)))
    def process_restarts(self, hosts: set[str], clusters: set[str]) -> None:
        """It has forgotten everything, and is known to call some of it."""
        known_hosts = [(names.TYPE_VIRTUAL_HOST, f"out/{service}") for service in sorted(hosts)]
        known_clusters = [(names.TYPE_CLUSTER, f"tcp|{service}") for service in sorted(clusters)]
        self.catalogue.known_names = (*known_hosts, *known_clusters)
        self.envoy = FakeEnvoy(content=JsonContent(), refuses=self._refuses)
        self.asked.clear()
        self.asked_clusters = {name for _, name in known_clusters}
        self._connect()

    @rule(seconds=st.floats(0.1, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.server_reads(len(self.to_server))  # what was sent has arrived by then
        self.now += seconds
        self._step(Tick())

    # --- what must hold ---

    @invariant()
    def nothing_is_broken(self) -> None:
        """No route that the proxy holds requires a cluster that is not warm."""
        usable = self.envoy.of(names.TYPE_CLUSTER)
        for type_url in (names.TYPE_LISTENER, names.TYPE_ROUTE, names.TYPE_VIRTUAL_HOST):
            for name, body in self.envoy.of(type_url).items():
                missing = requirements(body) - set(usable)
                assert not missing, f"{name} requires {missing}"

    def _quiesce(self) -> None:
        for _ in range(400):
            if not self.to_server and not self.to_envoy:
                return
            if self.to_server:
                self._step(self.to_server.popleft())
            if self.to_envoy:
                self.to_server.extend(self.envoy.receive(self.to_envoy.popleft()))
                self.nothing_is_broken()
        raise AssertionError("the session does not come to rest")

    def teardown(self) -> None:
        """In the end the proxy holds exactly what a fresh look at the catalogue gives it."""
        self._quiesce()
        self.now += INHERITANCE_GRACE_S + 1
        for _ in range(3):
            self._step(Tick())
            self._quiesce()
        self._compare_hosts()
        self._compare_rest()
        if not self.is_any_bad:
            assert self.session.is_in_sync
        assert self.session.reached_revision == self.revision
        self._restart_sends_nothing()

    def _compare_hosts(self) -> None:
        rejected = {name for _, name, _ in self.session.rejections()}
        for asked in self.asked:
            assert asked in self.envoy.answered
            expected = self.catalogue.lookup(PROXY, names.TYPE_VIRTUAL_HOST, asked).resource
            actual = self.envoy.virtual_host(asked)
            if expected is None:
                assert actual is None, asked
            elif not rejected.intersection({expected.name, *expected.requires}):
                assert actual == expected.any_bytes, asked

        for name, body in self.envoy.of(names.TYPE_VIRTUAL_HOST).items():  # also what came unasked
            expected = self.catalogue.lookup(PROXY, names.TYPE_VIRTUAL_HOST, name).resource
            if not rejected.intersection({name, *(expected.requires if expected else ())}):
                assert expected is not None, name
                assert body == expected.any_bytes, name

    def _compare_rest(self) -> None:
        rejected = {name for _, name, _ in self.session.rejections()}
        needed = {"passthrough"} | self.asked_clusters
        for type_url in (names.TYPE_LISTENER, names.TYPE_VIRTUAL_HOST):
            for body in self.envoy.of(type_url).values():
                needed |= requirements(body)
        held = self.envoy.of(names.TYPE_CLUSTER)
        for name in needed - rejected:
            wanted = self.catalogue.resources.get((names.TYPE_CLUSTER, name))
            if wanted is not None:
                assert held[name] == wanted.any_bytes
        if not self.is_any_bad:
            assert set(held) == needed
            assert set(self.envoy.of(names.TYPE_LISTENER)) == set(self.catalogue.root_listeners)
        for name, body in self.envoy.of(names.TYPE_ENDPOINTS).items():
            wanted = self.catalogue.resources.get((names.TYPE_ENDPOINTS, name))
            assert wanted is None or body == wanted.any_bytes

    def _restart_sends_nothing(self) -> None:
        if self.is_any_bad:
            return  # what was refused is tried again
        has_placeholder = PLACEHOLDER in self.envoy.of(names.TYPE_VIRTUAL_HOST)
        assert has_placeholder
        before = self.envoy.n_received
        self._connect()
        self._quiesce()
        assert self.envoy.n_received == before


Convergence.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestConvergence = Convergence.TestCase
