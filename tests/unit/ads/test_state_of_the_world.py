"""State-of-the-world discovery: what a client of the gRPC library says and hears, with the real session behind it."""

from __future__ import annotations

from collections import deque

import hypothesis.strategies as st
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given, settings

from byway.ads import state_of_the_world, wire
from byway.ads.action import Refused, Send
from byway.ads.catalogue import Proxy
from byway.ads.event import Changed, Event
from byway.ads.session import Session
from byway.ads.state_of_the_world import Translation, WorldRequest
from byway.model import names
from byway.testing.memory_catalogue import Keys, MemoryCatalogue
from tests.unit.ads.conversation import TYPES, resource

CLIENT = Proxy(instance="client-1", namespace="default", identity="spiffe://td/ns/default/sa/client", kind="grpc")


class Client:
    """Every method returns what the client hears, a line a response: the type and the resources' contents."""

    def __init__(self, catalogue: MemoryCatalogue) -> None:
        self.session = Session(catalogue, CLIENT)
        self.refused: list[str] = []
        self.heard: dict[str, discovery_pb2.DiscoveryResponse] = {}
        self.world: dict[str, dict[str, int]] = {kind: {} for kind in TYPES}  # what it has taken: versions by name
        self.wishes: dict[str, tuple[str, ...]] = {}
        self._unanswered: set[str] = set()
        self._translation = Translation()
        self._n_published = 0

    def asks(self, kind: str, *wished: str) -> list[str]:
        """Names all that it wants of a type; it has answered all that it heard."""
        self.wishes[kind] = wished
        return self._says(kind)

    def acks(self, kind: str) -> list[str]:
        """Takes the latest response of a type."""
        return self._says(kind)

    def nacks(self, kind: str) -> list[str]:
        """Refuses it."""
        return self._says(kind, error="bad")

    def answers(self, kind: str) -> bool:
        """Takes or refuses the response that waits for it, as it is good or bad; whether there was one."""
        if kind not in self._unanswered:
            return False
        said = dict(_content(r.value) for r in self.heard[kind].resources)
        if any(version < 0 for version in said.values()):
            self.nacks(kind)
            return True
        self.world[kind] = said if kind in ("lds", "cds") else self.world[kind] | said
        self.acks(kind)
        return True

    def publishes(self, keys: Keys) -> list[str]:
        """The catalogue has changed."""
        self._n_published += 1
        return self._follow(deque([Changed(keys, self._n_published)]))

    def _says(self, kind: str, error: str | None = None) -> list[str]:
        self._unanswered.discard(kind)
        nonce = self.heard[kind].nonce if kind in self.heard else ""
        request = WorldRequest(type_url=TYPES[kind], names=self.wishes[kind], nonce=nonce, error=error)
        return self._take(self._translation.requested(request))

    def _take(self, step: state_of_the_world.Step) -> list[str]:
        lines = [self._line(response) for response in step.responses]
        return lines + self._follow(deque(step.events))

    def _follow(self, events: deque[Event]) -> list[str]:
        lines: list[str] = []
        for event in events:
            for action in self.session.step(event, 0.0):
                if isinstance(action, Send):
                    lines += self._take(self._translation.told(wire.response(action)))
                elif isinstance(action, Refused):
                    self.refused.append(action.name)
        return lines

    def _line(self, message: bytes) -> str:
        response = discovery_pb2.DiscoveryResponse.FromString(message)
        kind = next(short for short, type_url in TYPES.items() if type_url == response.type_url)
        self.heard[kind] = response
        self._unanswered.add(kind)
        return f"{kind}: {', '.join('{} {}'.format(*_content(r.value)) for r in response.resources)}"


def _content(body: bytes) -> tuple[str, int]:
    """The name and the version in the body of a resource."""
    _, name, version, *_ = body.decode().split()
    return name, int(version)


def catalogue(*resources: tuple[str, str]) -> MemoryCatalogue:
    """A catalogue that holds the first version of each."""
    found = MemoryCatalogue()
    for kind, name in resources:
        found.put(resource(kind, name))
    return found


def settled(client: Client, *wishes: tuple[str, str]) -> Client:
    """The client, which has asked for these and taken them."""
    for kind in dict.fromkeys(kind for kind, _ in wishes):
        client.asks(kind, *(name for k, name in wishes if k == kind))
        client.acks(kind)
    return client


def test_all_listeners_and_clusters_that_are_wanted_are_in_every_response() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = Client(mesh)
    assert client.asks("cds", "a") == ["cds: a 1"]
    assert client.acks("cds") == []
    assert client.asks("cds", "a", "b") == ["cds: a 1, b 1"]
    client.acks("cds")
    assert client.publishes(mesh.put(resource("cds", "b", n=2))) == ["cds: a 1, b 2"]


def test_endpoints_and_routes_come_as_they_change() -> None:
    mesh = catalogue(("eds", "a"), ("eds", "b"))
    client = settled(Client(mesh), ("eds", "a"), ("eds", "b"))
    assert client.publishes(mesh.put(resource("eds", "b", n=2))) == ["eds: b 2"]


def test_a_deleted_cluster_is_missing_from_the_next_response() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = settled(Client(mesh), ("cds", "a"), ("cds", "b"))
    assert client.publishes(mesh.remove((names.TYPE_CLUSTER, "b"))) == ["cds: a 1"]
    assert client.acks("cds") == []
    assert client.session.is_in_sync is False  # it has asked for no listener yet
    assert client.publishes(mesh.put(resource("cds", "b", n=3))) == ["cds: a 1, b 3"]


def test_a_removal_that_cannot_be_told_is_acknowledged_for_the_client() -> None:
    mesh = catalogue(("rds", "a"))
    client = settled(Client(mesh), ("rds", "a"))
    assert client.publishes(mesh.remove((names.TYPE_ROUTE, "a"))) == []
    assert client.session.reached_revision == 1
    assert client.publishes(mesh.put(resource("rds", "a", n=2))) == ["rds: a 2"]


def test_a_refused_resource_is_found_and_the_others_get_through() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = settled(Client(mesh), ("cds", "a"), ("cds", "b"))
    heard = client.publishes(mesh.put(resource("cds", "a", n=2), resource("cds", "b", n=2)))
    assert heard == ["cds: a 2, b 2"]
    n_refusals = 0
    while heard:  # now each alone, with the last good of the other
        is_bad = "b 2" in heard[0]
        n_refusals += is_bad
        heard = client.nacks("cds") if is_bad else client.acks("cds")
    assert n_refusals == 2
    assert client.refused == ["b"]
    assert client.publishes(mesh.put(resource("cds", "a", n=3))) == ["cds: a 3, b 1"]


def test_one_response_of_a_type_is_on_its_way_at_a_time() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = settled(Client(mesh), ("cds", "a"), ("cds", "b"))
    assert client.publishes(mesh.put(resource("cds", "a", n=2))) == ["cds: a 2, b 1"]
    assert client.publishes(mesh.put(resource("cds", "b", n=2))) == []
    assert client.acks("cds") == ["cds: a 2, b 2"]


def test_what_was_said_before_a_response_arrived_is_heard_with_the_answer_to_it() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = Client(mesh)
    client.asks("cds", "a")
    early = WorldRequest(type_url=TYPES["cds"], names=("a", "b"))
    assert client._translation.requested(early) == state_of_the_world.Step()
    assert client.asks("cds", "a", "b") == ["cds: a 1, b 1"]


def test_what_is_wanted_no_more_is_told_no_more() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    client = settled(Client(mesh), ("cds", "a"), ("cds", "b"))
    assert client.asks("cds", "a") == []
    assert client.publishes(mesh.put(resource("cds", "b", n=2))) == []
    assert client.publishes(mesh.put(resource("cds", "a", n=2))) == ["cds: a 2"]


def test_a_name_that_is_wanted_again_is_told_again() -> None:
    mesh = catalogue(("eds", "a"))
    client = settled(Client(mesh), ("eds", "a"))
    client.asks("eds")
    assert client.asks("eds", "a") == ["eds: a 1"]


def test_an_unknown_listener_gets_an_answer_without_it_and_comes_when_it_exists() -> None:
    mesh = catalogue()
    client = Client(mesh)
    assert client.asks("lds", "web:80") == ["lds: "]
    client.acks("lds")
    assert client.publishes(mesh.put(resource("lds", "web:80"))) == ["lds: web:80 1"]


def test_the_version_is_the_same_from_every_replica() -> None:
    mesh = catalogue(("cds", "a"), ("cds", "b"))
    one, other = Client(mesh), settled(Client(mesh), ("cds", "b"))
    one.asks("cds", "a", "b")
    other.asks("cds", "b", "a")
    assert one.heard["cds"].version_info == other.heard["cds"].version_info != ""


def test_who_names_nothing_at_first_is_told_all_there_is() -> None:
    mesh = catalogue(("cds", "a"), ("lds", "l"))
    mesh.set_roots(clusters=("a",), listeners=("l",))
    client = Client(mesh)
    assert client.asks("cds") == ["cds: a 1"]
    client.acks("cds")
    assert client.asks("lds") == ["lds: l 1"]
    client.acks("lds")
    assert client.session.is_in_sync


def test_requests_are_read_with_their_node() -> None:
    spelled = discovery_pb2.DiscoveryRequest(type_url="t", resource_names=["a"], response_nonce="7")
    spelled.node.id = "grpc~1.2.3.4~client-1.default~default.svc.cluster.local"
    spelled.error_detail.message = "bad"
    found = state_of_the_world.request(spelled.SerializeToString())
    assert not isinstance(found, wire.Malformed)
    request, claim = found
    assert request == WorldRequest(type_url="t", names=("a",), nonce="7", error="bad")
    assert claim is not None
    assert claim.node_id == spelled.node.id
    assert isinstance(state_of_the_world.request(b"\xff\xff"), wire.Malformed)


EDITS = st.tuples(st.sampled_from(["cds", "eds"]), st.sampled_from("abc"), st.sampled_from(["good", "bad", "removed"]))
WISHES = st.tuples(st.sampled_from(["cds", "eds"]), st.frozensets(st.sampled_from("abc"), min_size=1))
ANSWERS = st.sampled_from(["cds", "eds"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(EDITS, WISHES, ANSWERS), max_size=30))
def test_whatever_happens_the_client_ends_with_all_that_it_wants_and_is_good(steps: list[object]) -> None:
    """Edits, wishes and answers in any order; bad versions are refused wherever they turn up."""
    mesh = MemoryCatalogue()
    client = Client(mesh)
    now: dict[tuple[str, str], int] = {}
    for n, step in enumerate(steps, 1):
        match step:
            case (str(kind), str(name), "removed"):
                now.pop((kind, name), None)
                client.publishes(mesh.remove((TYPES[kind], name)))
            case (str(kind), str(name), str(quality)):
                now[kind, name] = n if quality == "good" else -n
                client.publishes(mesh.put(resource(kind, name, n=now[kind, name])))
            case (str(kind), frozenset() as wished):
                while client.answers(kind):
                    pass
                client.asks(kind, *sorted(wished))
            case str(kind):
                client.answers(kind)
    n_answers = 0
    while client.answers("cds") or client.answers("eds"):
        n_answers += 1
        assert n_answers < 50
    for kind, names_wished in client.wishes.items():
        for name in names_wished:
            version = now.get((kind, name), 0)
            if version > 0:
                assert client.world[kind].get(name) == version
            elif not version and kind == "cds":
                assert name not in client.world[kind]
