"""What Envoy does on a stream of delta ADS, without being one and without a stream.

`FakeEnvoy` holds resources, and says which requests Envoy would send next. What it copies from Envoy
1.40 is what matters to a control plane: the order of subscriptions; a cluster is acknowledged only when it is warm, and
until then no request about clusters goes out, not even the first of a new stream; what was kept back then goes as one,
with the first answer; endpoints are asked for once per cluster, and not again when the cluster is sent anew, although it
then waits for them anew; a route configuration is given up only when the listeners that named it have drained; one bad
resource refuses its response; a virtual host without a body resolves a waiting request but removes nothing; after a
reconnect everything held is named with its version. `byway.testing.recording` holds it against a real Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import any_pb2

from byway.ads.action import Entry, Send
from byway.ads.catalogue import PLACEHOLDER
from byway.ads.event import Requested
from byway.model import names

Refuses = Callable[[str, str, bytes], str | None]
"""(type, name, body) → why Envoy would refuse it."""

_HTTP = http_connection_manager_pb2.HttpConnectionManager


class Content(Protocol):
    """What Envoy reads out of a resource that makes it ask for others."""

    def is_eds(self, cluster: bytes) -> bool:
        """Whether the cluster's endpoints come over EDS."""

    def routes(self, listener: bytes) -> tuple[str, ...]:
        """The route configurations that the listener names."""

    def is_on_demand(self, route: bytes) -> bool:
        """Whether the route configuration's virtual hosts come over VHDS."""


class ProtobufContent:
    """Reads real Envoy messages."""

    def is_eds(self, cluster: bytes) -> bool:
        """Whether the cluster's endpoints come over EDS."""
        message = cluster_pb2.Cluster()
        return _unpacked(cluster, message) and message.type == cluster_pb2.Cluster.EDS

    def routes(self, listener: bytes) -> tuple[str, ...]:
        """The route configurations that the listener names."""
        message = listener_pb2.Listener()
        if not _unpacked(listener, message):
            return ()
        chains = [*message.filter_chains, message.default_filter_chain]
        filters = [f.typed_config for chain in chains for f in chain.filters if f.typed_config.Is(_HTTP.DESCRIPTOR)]
        managers = [_HTTP.FromString(config.value) for config in filters]
        return tuple(dict.fromkeys(m.rds.route_config_name for m in managers if m.HasField("rds")))

    def is_on_demand(self, route: bytes) -> bool:
        """Whether the route configuration's virtual hosts come over VHDS."""
        message = route_pb2.RouteConfiguration()
        return _unpacked(route, message) and message.HasField("vhds")


def _unpacked(body: bytes, message: cluster_pb2.Cluster | listener_pb2.Listener | route_pb2.RouteConfiguration) -> bool:
    return bool(any_pb2.Any.FromString(body).Unpack(message))


def _takes_all(type_url: str, name: str, body: bytes) -> str | None:
    return None


class FakeEnvoy:
    """See the module; send what `connect`, `receive` and `ask_…` return, in that order."""

    def __init__(self, *, content: Content | None = None, refuses: Refuses = _takes_all) -> None:
        self.refuses = refuses
        self.bodies: dict[str, dict[str, bytes]] = {}  # what serves; of clusters, the warm ones
        self.versions: dict[str, dict[str, str]] = {}  # what was accepted
        self.warming: dict[str, bytes] = {}  # clusters that wait for endpoints
        self.answered: set[str] = set()  # virtual hosts asked for that no request waits for any more
        self.n_received = 0  # resources and removals, over all streams
        self.n_streams = 0
        self._content: Content = content or ProtobufContent()
        self._asked: dict[str, dict[str, None]] = {}  # a type is in here once it was subscribed to
        self._names: dict[str, str] = {}  # virtual host asked for → name of the resource that served it
        self._paused: list[Requested] = []  # about clusters, until all are warm
        self._is_first_paused = False  # on this stream, no request about clusters has gone out

    def of(self, type_url: str) -> dict[str, bytes]:
        """What is held of a type."""
        return self.bodies.setdefault(type_url, {})

    def virtual_host(self, asked: str) -> bytes | None:
        """What serves requests for the virtual host `asked`; none is a 404 if it was answered, else a wait."""
        return self.of(names.TYPE_VIRTUAL_HOST).get(self._names.get(asked, asked))

    def asked(self, type_url: str) -> tuple[str, ...]:
        """The names of a type that it has asked for, in the order of asking."""
        return tuple(self._asked.get(type_url, ()))

    @property
    def is_open(self) -> bool:
        """Whether it can take its first call: the listeners are there, and on-demand routing is ready."""
        return bool(self.of(names.TYPE_LISTENER)) and PLACEHOLDER in self.of(names.TYPE_VIRTUAL_HOST)

    @property
    def is_complete(self) -> bool:
        """Whether nothing that it has asked for is still to come."""
        hosts = self._asked.get(names.TYPE_VIRTUAL_HOST, {}).keys() <= self.answered
        clusters = all(name in self.of(names.TYPE_CLUSTER) for name in self._asked.get(names.TYPE_CLUSTER, ()))
        named = all(name in self.versions.get(t, ()) for t in _BY_NAME for name in self._asked.get(t, ()))
        return self.is_open and hosts and clusters and named and not self.warming

    # --- what Envoy sends ---

    def connect(self) -> list[Requested]:
        """The first requests of a new stream."""
        self.n_streams += 1
        self._paused.clear()
        self._asked.setdefault(names.TYPE_CLUSTER, {})
        self._is_first_paused = bool(self.warming)
        spoken = [t for t in _ORDER if t in self._asked and not (t == names.TYPE_CLUSTER and self._is_first_paused)]
        return [self._first_request(type_url) for type_url in spoken]

    def ask_virtual_host(self, name: str) -> list[Requested]:
        """A request came for a new host."""
        return self._ask(names.TYPE_VIRTUAL_HOST, name)

    def ask_cluster(self, name: str) -> list[Requested]:
        """A connection came for a new destination."""
        return self._ask(names.TYPE_CLUSTER, name)

    def _first_request(self, type_url: str) -> Requested:
        versions = dict(self.versions.get(type_url, {}))
        asked = tuple(self._asked[type_url])
        if type_url in _WILDCARDS and asked:
            asked = ("*", *asked)
        return Requested(type_url=type_url, subscribe=asked, initial_versions=versions)

    def _ask(self, type_url: str, name: str) -> list[Requested]:
        asked = self._asked.setdefault(type_url, {})
        if name in asked:
            return []
        asked[name] = None
        return self._unless_paused(Requested(type_url=type_url, subscribe=(name,)))

    def _unless_paused(self, request: Requested) -> list[Requested]:
        if request.type_url == names.TYPE_CLUSTER and self.warming:
            self._paused.append(request)
            return []
        return [request]

    # --- what Envoy does with a response ---

    def receive(self, response: Send) -> list[Requested]:
        """Take a response, or refuse it as a whole; returns the requests that follow, the answer to it among them."""
        self.n_received += len(response.entries) + len(response.removed)
        reason = self._refusal(response)
        if reason is not None:
            refusal = Requested(type_url=response.type_url, nonce=response.nonce, error=reason)
            return self._unless_paused(refusal)
        bodies, versions = self.of(response.type_url), self.versions.setdefault(response.type_url, {})
        for name in response.removed:
            bodies.pop(name, None)
            versions.pop(name, None)
        asked = self._asked.get(response.type_url, {})
        for entry in response.entries:
            if response.type_url in _BY_NAME and entry.name not in asked:
                continue  # given up while it was on its way
            versions[entry.name] = entry.version
            if entry.body is not None and response.type_url != names.TYPE_CLUSTER:
                bodies[entry.name] = entry.body
        followed = self._follow(response)
        return [*followed, *self._unless_paused(Requested(type_url=response.type_url, nonce=response.nonce))]

    def _refusal(self, response: Send) -> str | None:
        spelled = [e.name for e in response.entries] + list(response.removed)
        if len(set(spelled)) != len(spelled):
            return "duplicate name found"
        for entry in response.entries:
            if entry.body is None and not entry.aliases:
                return f"{entry.name} has no body"
            reason = None if entry.body is None else self.refuses(response.type_url, entry.name, entry.body)
            if reason is not None:
                return reason
        return None

    def _follow(self, response: Send) -> list[Requested]:
        if response.type_url == names.TYPE_CLUSTER:
            return self._take_clusters(response)
        if response.type_url == names.TYPE_ENDPOINTS:
            return self._take_endpoints(response)
        if response.type_url == names.TYPE_LISTENER:
            return self._take_listeners()
        if response.type_url == names.TYPE_ROUTE:
            on_demand = any(self._content.is_on_demand(e.body) for e in response.entries if e.body is not None)
            return self._open(names.TYPE_VIRTUAL_HOST) if on_demand else []
        self._resolve(response.entries)
        return []

    def _take_clusters(self, response: Send) -> list[Requested]:
        endpoints = self._asked.setdefault(names.TYPE_ENDPOINTS, {})
        added: list[str] = []
        gone = [name for name in response.removed if name in endpoints]
        for name in response.removed:
            self.warming.pop(name, None)
        for entry in response.entries:
            body = entry.body or b""
            if self._content.is_eds(body):
                self.warming[entry.name] = body
                if entry.name not in endpoints:
                    added.append(entry.name)
            else:
                self.warming.pop(entry.name, None)
                self.of(names.TYPE_CLUSTER)[entry.name] = body
                gone += [entry.name] if entry.name in endpoints else []
        endpoints.update(dict.fromkeys(added))
        self._give_up(names.TYPE_ENDPOINTS, gone)
        requests = self._open(names.TYPE_LISTENER)
        if added or gone:
            change = Requested(type_url=names.TYPE_ENDPOINTS, subscribe=tuple(added), unsubscribe=tuple(gone))
            requests.insert(0, change)
        return requests + ([] if self.warming else self._resumed())

    def _take_endpoints(self, response: Send) -> list[Requested]:
        for name in [*(e.name for e in response.entries), *response.removed]:
            self._warm(name)
        return [] if self.warming else self._resumed()

    def _warm(self, name: str) -> None:
        body = self.warming.pop(name, None)
        if body is not None:
            self.of(names.TYPE_CLUSTER)[name] = body

    def give_up_warming(self) -> list[Requested]:
        """Envoy's own wait for endpoints (15 s) is over."""
        for name in list(self.warming):
            self._warm(name)
        return self._resumed()

    def _resumed(self) -> list[Requested]:
        """What was kept back: the names together, with the first answer, then the other answers."""
        paused, self._paused = self._paused, []
        answers = [request for request in paused if request.nonce]
        change = Requested(
            type_url=names.TYPE_CLUSTER, subscribe=tuple(name for request in paused for name in request.subscribe)
        )
        if self._is_first_paused:
            self._is_first_paused = False
            change = self._first_request(names.TYPE_CLUSTER)
        elif not change.subscribe:
            return answers
        first, rest = (answers[0], answers[1:]) if answers else (Requested(type_url=names.TYPE_CLUSTER), [])
        return [msgspec.structs.replace(change, nonce=first.nonce, error=first.error), *rest]

    def _take_listeners(self) -> list[Requested]:
        asked = self._asked.setdefault(names.TYPE_ROUTE, {})
        added = tuple(name for name in self._named_routes() if name not in asked)
        asked.update(dict.fromkeys(added))
        return [Requested(type_url=names.TYPE_ROUTE, subscribe=added)] if added else []

    def _named_routes(self) -> dict[str, None]:
        listeners = self.of(names.TYPE_LISTENER).values()
        return dict.fromkeys(route for listener in listeners for route in self._content.routes(listener))

    @property
    def draining(self) -> tuple[str, ...]:
        """Route configurations that no listener names any more; connections that began before may still use them."""
        named = self._named_routes()
        return tuple(name for name in self._asked.get(names.TYPE_ROUTE, ()) if name not in named)

    def end_draining(self) -> list[Requested]:
        """The time for draining (10 minutes, by default) is over; virtual hosts go with their route configuration."""
        gone = self.draining
        hosts = [host for name in gone for host in self.asked(names.TYPE_VIRTUAL_HOST) if host.startswith(f"{name}/")]
        for host in hosts:
            self._names.pop(host, None)
            self.answered.discard(host)
        self._give_up(names.TYPE_VIRTUAL_HOST, hosts)
        self._give_up(names.TYPE_ROUTE, gone)
        unsubscribed = {names.TYPE_VIRTUAL_HOST: tuple(hosts), names.TYPE_ROUTE: gone}
        return [Requested(type_url=t, unsubscribe=given_up) for t, given_up in unsubscribed.items() if given_up]

    def _give_up(self, type_url: str, given_up: Iterable[str]) -> None:
        for name in given_up:
            self._asked[type_url].pop(name, None)
            self.of(type_url).pop(name, None)
            self.versions.get(type_url, {}).pop(name, None)

    def _open(self, type_url: str) -> list[Requested]:
        if type_url in self._asked:
            return []
        self._asked[type_url] = {}
        return [Requested(type_url=type_url)]

    def _resolve(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            self.answered.update(entry.aliases)
            if entry.body is not None:
                self._names.update(dict.fromkeys(entry.aliases, entry.name))


_ORDER = (
    names.TYPE_CLUSTER,
    names.TYPE_LISTENER,
    names.TYPE_ROUTE,
    names.TYPE_VIRTUAL_HOST,
    names.TYPE_ENDPOINTS,
)
_WILDCARDS = frozenset({names.TYPE_CLUSTER, names.TYPE_LISTENER, names.TYPE_VIRTUAL_HOST})
_BY_NAME = frozenset({names.TYPE_ROUTE, names.TYPE_ENDPOINTS})
