"""A conversation between one session and a proxy whose every word is written by the test."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage

from byway.ads.action import Close, Refused, Send, Watch
from byway.ads.catalogue import Proxy
from byway.ads.event import Changed, Event, Requested, Tick
from byway.ads.session import Session
from byway.model import names
from byway.testing.memory_catalogue import Keys, MemoryCatalogue
from byway.xds.resource import Resource

PROXY = Proxy(instance="web-1", namespace="default", identity="spiffe://cluster.local/ns/default/sa/web")
TYPES = {
    "cds": names.TYPE_CLUSTER,
    "eds": names.TYPE_ENDPOINTS,
    "lds": names.TYPE_LISTENER,
    "rds": names.TYPE_ROUTE,
    "vhds": names.TYPE_VIRTUAL_HOST,
}
_SHORT = {type_url: short for short, type_url in TYPES.items()}


def resource(kind: str, name: str, requires: tuple[str, ...] = (), n: int = 1) -> Resource:
    """Version `n` of a resource."""
    wrapped = AnyMessage(type_url=TYPES[kind], value=f"{kind} {name} {n} {requires}".encode())
    return Resource.of(TYPES[kind], name, wrapped.SerializeToString(), requires)


def service(name: str, n: int = 1) -> tuple[Resource, ...]:
    """A cluster, its endpoints, and the virtual host that leads there."""
    return (
        resource("cds", name, n=n),
        resource("eds", name, n=n),
        resource("vhds", f"out/{name}", (name,), n=n),
    )


def holding(catalogue: MemoryCatalogue, kind: str, *held: str) -> dict[str, str]:
    """The versions that a proxy would name after a reconnect."""
    return {name: catalogue.resources[TYPES[kind], name].version for name in held}


class Conversation:
    """`says` and `hears` are the two sides; every method returns what the session does, one line an action."""

    def __init__(self, catalogue: MemoryCatalogue, proxy: Proxy = PROXY) -> None:
        self.catalogue = catalogue
        self._proxy = proxy
        self.now = 0.0
        self.revision = 0
        self.told: dict[str, dict[str, str]] = {
            kind: {} for kind in TYPES
        }  # the versions of what was sent, over all streams
        self.session = Session(catalogue, proxy)
        self.unanswered: dict[str, list[str]] = {kind: [] for kind in TYPES}

    @classmethod
    def opened(cls, catalogue: MemoryCatalogue, *endpoints: str) -> Conversation:
        """Every wildcard subscription is made and answered, and the one to virtual hosts is open.

        `endpoints` are asked for in between, for clusters that came unasked.
        """
        conversation = cls(catalogue)
        conversation.asks("cds")
        if endpoints:
            conversation.asks("eds", *endpoints)
            conversation.acks("eds")
        conversation.acks("cds")
        conversation.asks("lds")
        conversation.acks("lds")
        conversation.asks("vhds")
        conversation.acks("vhds")
        return conversation

    def reconnects(self) -> None:
        """The stream is lost, and with it all that the session knew."""
        self.session = Session(self.catalogue, self._proxy, self.revision)
        self.unanswered = {kind: [] for kind in TYPES}

    def asks(self, kind: str, *subscribe: str, holding: dict[str, str] | None = None) -> list[str]:
        """The proxy subscribes."""
        held = holding or {}
        return self._does(Requested(type_url=TYPES[kind], subscribe=subscribe, initial_versions=held))

    def drops(self, kind: str, *unsubscribe: str) -> list[str]:
        """The proxy unsubscribes."""
        return self._does(Requested(type_url=TYPES[kind], unsubscribe=unsubscribe))

    def acks(self, kind: str) -> list[str]:
        """The proxy takes the oldest response of that type."""
        nonce = self.unanswered[kind].pop(0)
        return self._does(Requested(type_url=TYPES[kind], nonce=nonce))

    def nacks(self, kind: str, error: str = "bad") -> list[str]:
        """The proxy refuses the oldest response of that type."""
        nonce = self.unanswered[kind].pop(0)
        return self._does(Requested(type_url=TYPES[kind], nonce=nonce, error=error))

    def publishes(self, keys: Keys) -> list[str]:
        """The catalogue has changed."""
        self.revision += 1
        return self._does(Changed(keys, self.revision))

    def waits(self, seconds: float) -> list[str]:
        """Time passes."""
        self.now += seconds
        return self._does(Tick())

    def _does(self, event: Event) -> list[str]:
        lines = []
        for action in self.session.step(event, self.now):
            match action:
                case Send():
                    self.unanswered[_SHORT[action.type_url]].append(action.nonce)
                    told = self.told[_SHORT[action.type_url]]
                    told.update((entry.name, entry.version) for entry in action.entries)
                    for name in action.removed:
                        told.pop(name, None)
                    lines.append(_line(action))
                case Refused():
                    lines.append(f"refused {_SHORT[action.type_url]} {action.name}: {action.reason}")
                case Close():
                    lines.append(f"close {action.code}: {action.message}")
                case Watch():
                    pass  # the hub's tests look at these
        return lines


def _line(send: Send) -> str:
    words = [_SHORT[send.type_url]]
    for entry in send.entries:
        also = [alias for alias in entry.aliases if alias != entry.name]
        words.append(f"{'+' if entry.body is not None else '?'}{entry.name}{'=' if also else ''}{'='.join(also)}")
    words += [f"-{name}" for name in send.removed]
    return " ".join(words)
