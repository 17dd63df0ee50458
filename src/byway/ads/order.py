"""Make before break: what a proxy must hold before it may get a route, and when a cluster may go.

A listener, route configuration or virtual host names the clusters it requires. It may be sent once all of them are
ready: acknowledged, and their endpoints answered. A cluster goes only when nothing that the proxy holds, or is being
sent, or should hold requires it.

Envoy acknowledges a cluster only after it is warm, that is after its endpoints came; so nothing here waits for the one
before it sends the other. A cluster that was sent anew warms again, and needs its endpoints again, even if they are
unchanged: Envoy does not ask for them a second time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
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

    def __init__(self, clusters: Subscription, endpoints: Subscription) -> None:
        self._clusters = clusters
        self._endpoints = endpoints
        self.ready: set[str] = set()
        self.cooling: dict[str, float] = {}  # acknowledged, endpoints not yet answered → since when
        self.warming: set[str] = set()  # sent, and no endpoints sent since
        self.inherited: set[str] = set()  # held since an earlier stream, and not yet known to be needed

    def inherit(self, now: float, has_endpoints: Callable[[str], bool]) -> None:
        """The proxy came with clusters from an earlier stream; one may still wait for endpoints that never came."""
        self.inherited = set(self._clusters.held)
        for name in self.inherited:
            if has_endpoints(name):
                self.cooling[name] = now
            else:
                self.ready.add(name)

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
        if not self._clusters.is_wildcard:  # then clusters are asked for by name, after the routes
            return Gate.OPEN
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


def required_clusters(routing: list[Subscription]) -> tuple[dict[str, int | None], bool]:
    """The clusters that a proxy's routes require, with the publication that asks for each, and whether these are all.

    They are not all as long as the proxy holds something of which only the version is known.
    """
    required: dict[str, int | None] = {}
    is_complete = True
    for subscription in routing:
        for name, resource in subscription.wanted.items():
            if resource is not None:
                revision = subscription.dirty.get(name)
                for cluster in resource.requires:
                    if required.get(cluster) is None:
                        required[cluster] = revision
        for name, unit in subscription.held.items():
            is_known = unit.resource is not None or unit.version in {subscription.target_version(name), ABSENT}
            is_complete = is_complete and is_known
            _add_requirements(required, unit)
        for name, flight in subscription.flying.items():
            need = flight.units.get(name)
            if isinstance(need, Unit):
                _add_requirements(required, need)
    return required, is_complete


def _add_requirements(required: dict[str, int | None], unit: Unit) -> None:
    if unit.resource is not None:
        for cluster in unit.resource.requires:
            required.setdefault(cluster, None)
