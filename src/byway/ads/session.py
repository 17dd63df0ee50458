"""One stream of delta ADS as a pure state machine: events in, actions out, no clock and no socket.

Theory of operation. Every event changes what some subscription wants, holds or has on the way, and marks the names
concerned as dirty. Then one plan is made, always the same way: see which clusters the routes require; then, type by
type in the order of delivery, compare each dirty name's goal with its state and send the difference, routes only
through the gate of `order`. What has to wait stays dirty and is seen again after the next event. So there is no script
of steps that a lost, late or repeated message could derail: a session is always one plan away from its goal.

Prewarming: a process that has just started is given what it is known to call, and whatever it is offered where discovery is
eager: clusters with the first answer about clusters, virtual hosts with the first about virtual hosts, for which its listener
waits. From then on an offer is like what every proxy holds, and the rest like what was asked for: it had come unasked.

Refusals: a response of several resources is sent again one by one; a resource refused alone is not sent again before
it changes, and its predecessor stays. After a reconnect the proxy names the versions it holds, and gets what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from byway.ads.action import Action, Asked, Close, Refused, Revisions, Send
from byway.ads.catalogue import PLACEHOLDER, Catalogue, Proxy
from byway.ads.event import Changed, Event, Requested, Tick
from byway.ads.order import DELIVERY, INHERITANCE_GRACE_S, ROUTING_TYPES, Clusters, Gate
from byway.ads.subscription import (
    WILDCARD,
    WILDCARD_TYPES,
    Flight,
    Need,
    Rejection,
    Removal,
    Subscription,
    Unit,
)
from byway.ads.watch import Watched
from byway.model import names

MAX_NAMES: Final = 4_096
PREWARM_PATIENCE_S: Final = 5.0
"""A starting listener waits no longer for what its workload is known to call."""
ANSWER_DEADLINE_S: Final = 60.0
"""Longer than Envoy's own wait for a cluster to warm (15 s), during which it acknowledges nothing of that type."""
MAX_RESPONSE_BYTES: Final = 1 << 20


class Session:
    """See the module."""

    def __init__(self, catalogue: Catalogue, proxy: Proxy, revision: int = 0) -> None:
        self.proxy = proxy
        self.revision = revision  # the last publication that is known here
        self.subscriptions: dict[str, Subscription] = {t: Subscription(t) for t in DELIVERY}
        self._watched = Watched(catalogue, proxy)
        self._cds = self.subscriptions[names.TYPE_CLUSTER]
        self._eds = self.subscriptions[names.TYPE_ENDPOINTS]
        self._clusters = Clusters(self._cds, self._eds, are_named=proxy.kind == "grpc")
        self._required: dict[str, int | None] = {}
        self._is_routing_moved = False
        self._flights: dict[str, tuple[Subscription, Flight]] = {}
        self._forecast: set[str] = set()  # virtual hosts that the first answer waits for
        self._stuck: set[tuple[str, str]] = set()
        self._n_responses = 0
        self._opened_at = 0.0  # when the proxy subscribed to a type it had not yet asked for on this stream
        self._actions: list[Action] = []

    # --- what others may see ---

    @property
    def is_in_sync(self) -> bool:
        """Whether the proxy holds all that it should, and refused nothing of it."""
        # A gRPC client that dials what the mesh does not know asks for no cluster.
        is_open = self.subscriptions[names.TYPE_LISTENER].is_open and (self._cds.is_open or self.proxy.kind == "grpc")
        is_moving = bool(self._flights or self._stuck or any(s.dirty for s in self.subscriptions.values() if s.is_open))
        return is_open and not is_moving and not any(self.rejections())

    @property
    def reached_revision(self) -> int:
        """The last publication that the proxy has answered to in whole, as have all before it."""
        pending = [d for s in self.subscriptions.values() if s.is_open for d in s.dirty.values() if d is not None]
        pending += [f.revisions.first for _, f in self._flights.values() if f.revisions is not None]
        return min(pending) - 1 if pending else self.revision

    @property
    def is_awaiting_time(self) -> bool:
        """Whether a tick may change anything."""
        return bool(self._flights or self._clusters.cooling or self._clusters.inherited)

    def rejections(self) -> Iterable[tuple[str, str, Rejection]]:
        """What the proxy refuses at present: type, name, and why."""
        for subscription in self.subscriptions.values():
            for name, rejection in subscription.rejected.items():
                yield subscription.type_url, name, rejection

    # --- the state machine ---

    def step(self, event: Event, now: float) -> list[Action]:
        """Take one event, and say what is to be done about it."""
        self._actions = []
        match event:
            case Requested():
                refusal = self._requested(event, now)
            case Changed():
                refusal = None
                self._changed(event)
            case Tick():
                refusal = self._ticked(now)
        if refusal is not None:
            return [refusal]
        self._require(now)
        for subscription in self.subscriptions.values():
            self._deliver(subscription, now)
        watch = self._watched.difference()
        if watch is not None:
            self._actions.append(watch)
        return self._actions

    def _requested(self, event: Requested, now: float) -> Close | None:
        subscription = self.subscriptions.get(event.type_url)
        if subscription is None:
            return Close("INVALID_ARGUMENT", f"resources of type {event.type_url[:200]!r} are not served here")
        n_clusters = len(self._cds.wanted) + len(self._cds.held) + len(event.initial_versions)
        n_most = MAX_NAMES + n_clusters if subscription is self._eds else MAX_NAMES
        if len(subscription.asked) + len(event.subscribe) > n_most:
            return Close("RESOURCE_EXHAUSTED", f"more than {MAX_NAMES} names of one type on a stream")
        if event.nonce:
            self._answered(event, now)
        inherited: Mapping[str, str] = {}
        if not subscription.is_open:
            inherited = event.initial_versions
            self._opened_at = now
            self._open(subscription, event, now)
        for name in event.unsubscribe:
            self._unsubscribe(subscription, name)
        for name in event.subscribe:
            if name != WILDCARD:
                self._subscribe(subscription, name, inherited)
        for name in subscription.came_unasked() if inherited else ():
            self._give(subscription, name)
        return None

    def _changed(self, event: Changed) -> None:
        self.revision = max(self.revision, event.revision)
        for type_url, name in self._watched.touched(event.keys):
            self._want(self.subscriptions[type_url], name, event.revision)
        if not self._watched.roots_keys.isdisjoint(event.keys):
            for subscription in self.subscriptions.values():
                self._want_roots(subscription, event.revision)

    def _ticked(self, now: float) -> Close | None:
        self._clusters.lose_patience(now)
        oldest = next(iter(self._flights.values()), None)
        if oldest is not None and now - oldest[1].sent_at > ANSWER_DEADLINE_S:
            return Close("DEADLINE_EXCEEDED", f"no answer to a response within {ANSWER_DEADLINE_S:g} s")
        return None

    # --- requests ---

    def _open(self, subscription: Subscription, event: Requested, now: float) -> None:
        subscription.is_open = self._is_routing_moved = True
        is_all_held = subscription.type_url not in (names.TYPE_ROUTE, names.TYPE_ENDPOINTS)
        held = {n: v for n, v in event.initial_versions.items() if is_all_held or n in event.subscribe}
        subscription.inherit(held)
        is_bare = not event.subscribe or WILDCARD in event.subscribe
        self._want_roots(self.subscriptions[names.TYPE_VIRTUAL_HOST], None)  # early, for their clusters
        if subscription.type_url in WILDCARD_TYPES and is_bare:
            subscription.is_wildcard = True
            subscription.is_greeting_owed = not event.initial_versions
            self._want_roots(subscription, None)
        elif subscription.type_url == names.TYPE_VIRTUAL_HOST and is_bare:
            self._subscribe(subscription, PLACEHOLDER, event.initial_versions)
        if subscription is self._cds:
            self._clusters.inherit(now, self._watched.has_endpoints)
            if subscription.is_greeting_owed:
                self._prewarm()
        elif subscription is self._eds:
            for name in held:
                self._clusters.settle(name)

    def _subscribe(self, subscription: Subscription, name: str, inherited: Mapping[str, str]) -> None:
        subscription.ask(name)
        self._want(subscription, name, None)
        # A version that came from an earlier stream needs no answer, unless its cluster may wait for just that.
        is_warming = subscription is self._eds and self._clusters.is_warming(name)
        if is_warming or subscription.names[name] not in inherited:
            actual = subscription.names[name]
            subscription.owed.add(actual)
            if subscription.is_on_demand and name != PLACEHOLDER:
                self._actions.append(Asked(subscription.type_url, actual, subscription.wanted[actual] is not None))

    def _prewarm(self) -> None:
        for type_url, name in self._watched.known():
            self._give(self.subscriptions[type_url], name)
        self._forecast = set(self.subscriptions[names.TYPE_VIRTUAL_HOST].wanted)

    def _give(self, subscription: Subscription, name: str) -> None:
        """Have the proxy hold `name`, if the mesh has it, as if it had asked, though no call waits for it."""
        if self._watched.lookup(subscription.type_url, name).resource is None:
            self._watched.drop(subscription.type_url, name)
        elif len(subscription.asked) < MAX_NAMES:
            subscription.give(name)
            self._want(subscription, name, None)

    def _unsubscribe(self, subscription: Subscription, name: str) -> None:
        self._is_routing_moved = True
        if name == WILDCARD:
            subscription.is_wildcard = False
            for root in self._watched.roots_of(subscription.type_url):
                if root not in subscription.asked:
                    self._forget(subscription, root)
            return
        subscription.asked.pop(name, None)
        if not self._is_unasked_for(subscription, name):
            return
        if subscription.is_wildcard:  # the proxy still holds it, as one of all
            self._watched.drop(subscription.type_url, name)
            subscription.unwant(name, None)
        else:
            self._forget(subscription, name)

    def _forget(self, subscription: Subscription, name: str) -> None:
        self._watched.drop(subscription.type_url, name)
        subscription.forget(name)

    def _is_unasked_for(self, subscription: Subscription, name: str) -> bool:
        """Whether nothing makes the proxy hold `name` (any more)."""
        is_required = subscription is self._cds and name in self._required
        is_root = subscription.has_roots and name in self._watched.roots_of(subscription.type_url)
        return name not in subscription.asked and not is_required and not is_root

    def _answered(self, event: Requested, now: float) -> None:
        subscription, flight = self._flights.get(event.nonce, (None, None))
        if subscription is None or flight is None or subscription.type_url != event.type_url:
            return  # an answer to an earlier stream, or twice the same
        del self._flights[event.nonce]
        if event.error is None:
            subscription.land(flight)
        else:
            refused = subscription.bounce(flight, event.error, now)
            if refused is not None:
                self._actions.append(
                    Refused(type_url=event.type_url, name=refused, reason=event.error, revisions=flight.revisions)
                )
        self._reconsider(subscription, flight, now)

    def _reconsider(self, subscription: Subscription, flight: Flight, now: float) -> None:
        """See what depends on the answer to `flight`."""
        self._is_routing_moved |= subscription.type_url in ROUTING_TYPES
        if subscription is self._eds:
            for name in flight.units:
                if name not in subscription.alone:
                    self._clusters.settle(name)
        elif subscription is self._cds:
            for name in flight.units:
                self._clusters.land(name, now, has_endpoints=self._watched.has_endpoints(name))
            self._free_stuck(flight.revisions.first if flight.revisions else None)

    def _free_stuck(self, revision: int | None) -> None:
        for type_url, name in self._stuck:
            self.subscriptions[type_url].touch(name, revision)
        self._stuck.clear()

    # --- goals ---

    def _want(self, subscription: Subscription, name: str, revision: int | None) -> None:
        self._is_routing_moved |= subscription.type_url in ROUTING_TYPES
        subscription.want(name, self._watched.lookup(subscription.type_url, name), revision)
        if subscription is self._cds and self._stuck:
            self._free_stuck(revision)

    def _want_roots(self, subscription: Subscription, revision: int | None) -> None:
        if not subscription.has_roots:
            return
        before = set(self._watched.roots_of(subscription.type_url))
        after = self._watched.fresh_roots_of(subscription.type_url)
        for name in [name for name in after if name not in subscription.names]:
            self._want(subscription, name, revision)
        for name in before.difference(after):
            if self._is_unasked_for(subscription, name):
                self._watched.drop(subscription.type_url, name)
                subscription.unwant(name, revision)
                self._is_routing_moved = True

    def _require(self, now: float) -> None:
        """Have the proxy hold exactly the clusters that its routes require, besides those it always holds."""
        is_heir = bool(self._clusters.inherited) and now - self._opened_at >= INHERITANCE_GRACE_S
        if not self._cds.is_wildcard or not (self._is_routing_moved or is_heir):
            return
        self._is_routing_moved = False
        routing = [self.subscriptions[t] for t in ROUTING_TYPES]
        required, is_complete = self._clusters.required(routing)
        before, self._required = self._required, required
        for name, revision in required.items():
            if name not in self._cds.names or (name not in before and self._cds.wanted.get(name) is None):
                self._want(self._cds, name, revision)
        if not is_complete:
            self._required = {**before, **required}
            return
        for name in before:
            if name not in required:
                self._cds.touch(name, None)
                if self._is_unasked_for(self._cds, name):
                    self._watched.drop(names.TYPE_CLUSTER, name)
                    self._cds.unwant(name, None)
        if is_heir:
            for name in self._clusters.inherited:
                self._cds.touch(name, None)
            self._clusters.inherited.clear()

    # --- delivery ---

    def _deliver(self, subscription: Subscription, now: float) -> None:
        if not subscription.is_open:
            return
        batch: dict[str, Need] = {}
        n_bytes = 0
        n_sent = len(self._actions)
        for name in list(subscription.dirty):
            is_early = name == PLACEHOLDER and self._is_prewarming(subscription, batch, now)
            need = None if is_early or name in subscription.flying else self._admitted_need(subscription, name)
            if need is None:
                continue
            if name in subscription.alone:
                self._send(subscription, {name: need}, now)
                continue
            n_bytes += need.n_bytes
            if batch and n_bytes > MAX_RESPONSE_BYTES:
                self._send(subscription, batch, now)
                batch, n_bytes = {}, need.n_bytes
            batch[name] = need
        is_greeting = subscription.is_greeting_owed and not subscription.dirty and len(self._actions) == n_sent
        if batch or is_greeting:
            self._send(subscription, batch, now)

    def _is_prewarming(self, hosts: Subscription, batch: Mapping[str, Need], now: float) -> bool:
        """Whether the answer that opens a starting proxy's listener should wait for what is to come with it."""
        is_missing = any(name in hosts.dirty and name not in batch for name in self._forecast)
        return is_missing and now - self._opened_at < PREWARM_PATIENCE_S

    def _admitted_need(self, subscription: Subscription, name: str) -> Need | None:
        """What may be told to the proxy about `name` now; a name that waits stays dirty, others are cleared."""
        need = subscription.need(name)
        is_used = name in self._required or name in self._clusters.inherited
        if isinstance(need, Removal) and subscription is self._cds and is_used:
            need = None
        if isinstance(need, Unit) and self._clusters.is_leaving(subscription, name):
            need = subscription.parting(name, need)
            if need is None:
                return None
        if isinstance(need, Unit) and need.resource is not None:
            gate = self._clusters.gate(need.resource, subscription.held.get(name))
            if gate is Gate.WAIT:
                return None
            if gate is Gate.STUCK:
                self._is_routing_moved = True  # back to what it holds
                self._stuck.add((subscription.type_url, name))
                need = subscription.fallback(name)
        if need is None:
            subscription.dirty.pop(name, None)
            subscription.owed.discard(name)
        return need

    def _send(self, subscription: Subscription, units: Mapping[str, Need], now: float) -> None:
        self._n_responses += 1
        dirty = [subscription.dirty.get(name) for name in units]
        first = min((d for d in dirty if d is not None), default=None)
        revisions = None if first is None else Revisions(first, max(first, self.revision))
        flight = Flight(
            nonce=str(self._n_responses),
            units=dict(units),
            owed=frozenset(subscription.owed.intersection(units)),
            revisions=revisions,
            sent_at=now,
        )
        self._flights[flight.nonce] = (subscription, flight)
        subscription.is_greeting_owed = False
        subscription.take_off(flight)
        if subscription is self._cds:
            self._rewarm(flight)
        elif subscription is self._eds:
            self._clusters.warming.difference_update(units)
        self._actions.append(
            Send(
                type_url=subscription.type_url,
                nonce=flight.nonce,
                entries=tuple(subscription.entry(n, need) for n, need in units.items() if isinstance(need, Unit)),
                removed=tuple(name for name, need in units.items() if isinstance(need, Removal)),
                revisions=revisions,
            )
        )

    def _rewarm(self, flight: Flight) -> None:
        """A cluster that is sent anew waits for its endpoints anew."""
        for name, need in flight.units.items():
            if isinstance(need, Removal):
                self._clusters.leave(name)
            else:
                self._clusters.depart(name)
                if name in self._eds.owed:
                    self._eds.touch(name, flight.revisions.first if flight.revisions else None)
