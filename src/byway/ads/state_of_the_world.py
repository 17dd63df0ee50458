"""State-of-the-world discovery, as gRPC's own clients speak it, laid over a session that speaks the incremental variant.

Theory of operation. Both variants carry the same resources under the same names; they differ in how they count. So nothing
of the session's work is done twice: a request is turned into what an incremental client would have said, and an incremental
response into the state that it leads to. A request names all that the client wants of a type, so it is compared with the
one before it. Listeners and clusters are always told whole, since one that is missing counts as deleted; routes and
endpoints are told as they change, and their removal cannot be told at all: it is acknowledged here.

One response of a type is on its way at a time. So a refusal is of that response and of nothing else, and the session, which
tells refused resources one by one, finds the bad one although each attempt carries the good ones, too.
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from byway.ads.event import Requested
from byway.ads.subscription import WILDCARD
from byway.ads.wire import Claim, Malformed, claim_of
from byway.base.digest import digest
from byway.model import names

METHOD: Final = "StreamAggregatedResources"
_TOLD_WHOLE: Final = frozenset({names.TYPE_LISTENER, names.TYPE_CLUSTER})


class WorldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request: all names that the client wants of the type, and its answer to the response `nonce`."""

    type_url: str
    names: tuple[str, ...] = ()
    nonce: str = ""
    error: str | None = None


class Step(msgspec.Struct, frozen=True):
    """What follows: events for the session, and responses for the client."""

    events: tuple[Requested, ...] = ()
    responses: tuple[bytes, ...] = ()


class _Held(msgspec.Struct, frozen=True):
    """A resource as the client was told it."""

    version: str
    any_bytes: bytes


class _Flight(msgspec.Struct, frozen=True):
    """The response on its way, and what the client held before it of all that it changed."""

    nonce: str
    before: dict[str, _Held | None]
    has_news: bool  # not only removals, which nobody can refuse


class _Type:
    """One type of resource on one stream."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] | None = None  # None until it was first asked for
        self.is_wildcard = False  # the first request named nothing, and none has since
        self.held: dict[str, _Held] = {}
        self.flight: _Flight | None = None
        self.waiting: deque[discovery_pb2.DeltaDiscoveryResponse] = deque()

    def wants(self, name: str) -> bool:
        """Whether the client is to be told `name`."""
        wanted = self.wanted or frozenset()
        return self.is_wildcard or name in wanted or WILDCARD in wanted


class Translation:
    """One stream; both methods say what is to be passed on."""

    def __init__(self) -> None:
        self._types: dict[str, _Type] = {}

    def requested(self, request: WorldRequest) -> Step:
        """The client sent `request`."""
        state = self._types.setdefault(request.type_url, _Type())
        flight = state.flight
        if flight is None:  # its first word, or other names after all was answered
            return Step((_wish(state, request, "", None),))
        if request.nonce != flight.nonce:
            return Step()  # what it says now it says again in its answer to the response that is on its way
        state.flight = None
        error = request.error if flight.has_news else None
        if error is not None:
            _take_back(state, flight)
        event = _wish(state, request, request.nonce, error)
        told = self._next(request.type_url, state)
        return Step((event, *told.events), told.responses)

    def told(self, response: bytes) -> Step:
        """The session sent `response`, of the incremental variant."""
        decoded = discovery_pb2.DeltaDiscoveryResponse.FromString(response)
        state = self._types.setdefault(decoded.type_url, _Type())
        state.waiting.append(decoded)
        return self._next(decoded.type_url, state)

    def _next(self, type_url: str, state: _Type) -> Step:
        """Tells what waits, up to the first response that the client has to answer."""
        events = []
        while state.waiting and state.flight is None:
            delta = state.waiting.popleft()
            flight = _taken(state, delta)
            if type_url not in _TOLD_WHOLE and not any(state.wants(r.name) for r in delta.resources):
                events.append(Requested(type_url=type_url, nonce=delta.nonce))
                continue
            state.flight = flight
            return Step(tuple(events), (_response(type_url, state, delta),))
        return Step(tuple(events))


def _wish(state: _Type, request: WorldRequest, nonce: str, error: str | None) -> Requested:
    """What the session is to hear of the names in `request`, with the answer to `nonce`."""
    wanted, before = frozenset(request.names), state.wanted or frozenset()
    was_wildcard = state.is_wildcard
    state.is_wildcard = not wanted and (state.wanted is None or was_wildcard)
    state.wanted = wanted
    dropped = sorted(before - wanted)
    for name in dropped:
        state.held.pop(name, None)
    return Requested(
        type_url=request.type_url,
        subscribe=tuple(name for name in dict.fromkeys(request.names) if name not in before),
        unsubscribe=(WILDCARD, *dropped) if was_wildcard and wanted else tuple(dropped),
        nonce=nonce,
        error=error,
    )


def _taken(state: _Type, delta: discovery_pb2.DeltaDiscoveryResponse) -> _Flight:
    """Has the client hold what `delta` says."""
    changed = [*(r.name for r in delta.resources), *delta.removed_resources]
    before = {name: state.held.get(name) for name in changed}
    for resource in delta.resources:
        if state.wants(resource.name):
            state.held[resource.name] = _Held(resource.version, resource.resource.SerializeToString(deterministic=True))
    for name in delta.removed_resources:
        state.held.pop(name, None)
    return _Flight(delta.nonce, before, bool(delta.resources))


def _take_back(state: _Type, flight: _Flight) -> None:
    for name, held in flight.before.items():
        if held is None:
            state.held.pop(name, None)
        else:
            state.held[name] = held


def _response(type_url: str, state: _Type, delta: discovery_pb2.DeltaDiscoveryResponse) -> bytes:
    told = sorted(state.held) if type_url in _TOLD_WHOLE else [r.name for r in delta.resources if r.name in state.held]
    # The version is of the whole state, and the same from every replica of the control plane.
    version = digest("".join(f"{name}={state.held[name].version};" for name in sorted(state.held)).encode())
    response = discovery_pb2.DiscoveryResponse(version_info=version, type_url=type_url, nonce=delta.nonce)
    for name in told:
        response.resources.add().MergeFromString(state.held[name].any_bytes)
    return bytes(response.SerializeToString())


def request(message: bytes) -> tuple[WorldRequest, Claim | None] | Malformed:
    """The request that `message` spells, and the node it names, if any."""
    try:
        decoded = discovery_pb2.DiscoveryRequest.FromString(message)
    except DecodeError:
        return Malformed("not a DiscoveryRequest")
    found = WorldRequest(
        type_url=decoded.type_url,
        names=tuple(decoded.resource_names),
        nonce=decoded.response_nonce,
        error=decoded.error_detail.message if decoded.HasField("error_detail") else None,
    )
    return found, claim_of(decoded)
