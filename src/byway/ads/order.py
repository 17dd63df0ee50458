"""Make before break: what a proxy must hold before it may get a route, and when a cluster may go.

A listener, route configuration or virtual host names the clusters it requires. It may be sent once all of them are
ready: acknowledged, and their endpoints answered. A cluster goes only when nothing that the proxy holds, or is being
sent, or should hold requires it. Until then it stays as it is, with its endpoints: a subset that is deleted together with
its routes would else lose its endpoints before the routes have moved.

Envoy acknowledges a cluster only after it is warm, that is after its endpoints came; so nothing here waits for the one
before it sends the other. A cluster that was sent anew warms again, and needs its endpoints again, even if they are
unchanged: Envoy does not ask for them a second time.

While a cluster warms, Envoy says nothing about clusters. If its stream breaks then, the next one begins without them, and
its listeners come first; all that it lacks is endpoints, which it claims to hold. So endpoints that are asked for before
clusters are sent again, and routes wait until it speaks of clusters.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Final

from byway.ads.subscription import ABSENT, Subscription, Unit
from byway.model import names
from byway.xds.resource import Resource

ENDPOINTS_PATIENCE_S: Final = 5.0
"""A cluster whose endpoints the proxy never asked for counts as ready this long after its acknowledgement."""

INHERITANCE_GRACE_S: Final = 10.0
"""Clusters of an earlier stream stay this long, until the routes that may need them have been subscribed again."""

DELIVERY: Final = (
    names.TYPE_CLUSTER,
    names.TYPE_ENDPOINTS,
    names.TYPE_LISTENER,
    names.TYPE_ROUTE,
    names.TYPE_VIRTUAL_HOST,
)
"""The order of types on the stream."""

ROUTING_TYPES: Final = DELIVERY[2:]


class Gate(enum.Enum):
    """Whether a route may be sent now."""

    OPEN = "open"
    WAIT = "wait"  # for something on its way
    STUCK = "stuck"  # for a cluster that the proxy refused, or that does not exist


class Clusters:
    """Which clusters a proxy can use."""

    def __init__(self, clusters: Subscription, endpoints: Subscription, *, are_named: bool = False) -> None:
        self._clusters = clusters
        self._endpoints = endpoints
        self._are_named = are_named  # asked for by name, after the routes
        self.ready: set[str] = set()
        self.cooling: dict[str, float] = {}  # acknowledged, endpoints not yet answered → since when
        self.warming: set[str] = set()  # sent, and no endpoints sent since
        self.inherited: set[str] = set()  # held since an earlier stream, and not yet known to be needed
        self.leaving: set[str] = set()  # only routes that are about to be replaced require them

    def inherit(self, now: float, has_endpoints: Callable[[str], bool]) -> None:
        """The proxy came with clusters from an earlier stream; one may still wait for endpoints that never came."""
        self.inherited = set(self._clusters.held)
        for name in self.inherited:
            if has_endpoints(name):
                self.cooling[name] = now
            else:
                self.ready.add(name)

    def is_warming(self, name: str) -> bool:
        """Whether the proxy may need the endpoints of `name` although it has these very ones."""
        return name in self.warming or not self._clusters.is_open

    def is_leaving(self, subscription: Subscription, name: str) -> bool:
        """Whether `name` is a cluster that the proxy is to lose, or the endpoints of one."""
        if subscription is not self._endpoints:
            return subscription is self._clusters and name in self.leaving
        is_going = self._clusters.is_wildcard and name not in self._clusters.wanted and name not in self.inherited
        return is_going or name in self.leaving

    def depart(self, name: str) -> None:
        """The cluster is on its way to the proxy."""
        self.warming.add(name)
        if name in self._endpoints.asked:
            self._endpoints.owed.add(name)

    def leave(self, name: str) -> None:
        """The removal of the cluster is on its way to the proxy."""
        self.ready.discard(name)
        self.cooling.pop(name, None)
        self.warming.discard(name)

    def land(self, name: str, now: float, *, has_endpoints: bool) -> None:
        """The proxy acknowledged the cluster, or its removal."""
        unit = self._clusters.held.get(name)
        if unit is None or unit.resource is None:
            self.leave(name)
        elif name not in self.ready:
            if not has_endpoints or name in self._endpoints.held or name in self._endpoints.rejected:
                self.ready.add(name)
            else:
                self.cooling.setdefault(name, now)

    def settle(self, name: str) -> None:
        """The proxy answered to the endpoints of `name`."""
        if self.cooling.pop(name, None) is not None:
            self.ready.add(name)

    def lose_patience(self, now: float) -> None:
        """Let clusters count as ready whose endpoints nobody asks for."""
        for name, since in list(self.cooling.items()):
            if now - since >= ENDPOINTS_PATIENCE_S:
                self.settle(name)

    def gate(self, resource: Resource, held: Unit | None) -> Gate:
        """Whether the proxy may get `resource` in place of `held`."""
        if self._are_named or not resource.requires:
            return Gate.OPEN
        if not self._clusters.is_wildcard:
            return Gate.WAIT
        verdict = Gate.OPEN
        for name in resource.requires:
            one = self._gate_of(name, is_update=held is not None and held.version != ABSENT)
            if one is Gate.STUCK:
                return one
            verdict = one if one is Gate.WAIT else verdict
        return verdict

    def _gate_of(self, name: str, *, is_update: bool) -> Gate:
        clusters = self._clusters
        if name in self.ready:
            # A request may be waiting for a new virtual host, and the cluster serves while its successor warms.
            return Gate.WAIT if is_update and name in clusters.flying else Gate.OPEN
        if name in clusters.flying or name in self.cooling:
            return Gate.WAIT
        if clusters.wanted.get(name) is None or name in clusters.rejected:
            return Gate.STUCK
        return Gate.WAIT

    def required(self, routing: list[Subscription]) -> tuple[dict[str, int | None], bool]:
        """The clusters that a proxy's routes require, with the publication that asks for each, and whether these are all.

        They are not all as long as the proxy holds something of which only the version is known.
        """
        required: dict[str, int | None] = {}
        for subscription in routing:
            for name, resource in subscription.wanted.items():
                if resource is not None:
                    revision = subscription.dirty.get(name)
                    for cluster in resource.requires:
                        if required.get(cluster) is None:
                            required[cluster] = revision
        is_complete = all(_is_known(s, name, unit) for s in routing for name, unit in s.held.items())
        used = [(cluster, is_moving) for s in routing for cluster, is_moving in _used_clusters(s)]
        staying = {*required, *(cluster for cluster, is_moving in used if not is_moving)}
        self.leaving = {cluster for cluster, _ in used if cluster not in staying}
        for cluster, _ in used:
            required.setdefault(cluster, None)
        return required, is_complete


def _is_known(subscription: Subscription, name: str, unit: Unit) -> bool:
    return unit.resource is not None or unit.version in {subscription.target_version(name), ABSENT}


def _used_clusters(routing: Subscription) -> Iterator[tuple[str, bool]]:
    """The clusters that what the proxy holds or is being sent requires; and whether that is about to be replaced."""
    for name, unit in routing.held.items():
        if unit.resource is not None:
            is_moving = (name in routing.dirty or name in routing.flying) and name not in routing.rejected
            yield from ((cluster, is_moving) for cluster in unit.resource.requires)
    for name, flight in routing.flying.items():
        need = flight.units.get(name)
        if isinstance(need, Unit) and need.resource is not None:
            yield from ((cluster, True) for cluster in need.resource.requires)
