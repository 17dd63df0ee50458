"""What the hub measures of itself, under Istio's names (`pilot_*`), so that dashboards for istiod show it.

Source of the names: https://istio.io/latest/docs/reference/commands/pilot-discovery/#metrics
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from byway.model import names

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
_SHORT: Final = {
    names.TYPE_CLUSTER: "cds",
    names.TYPE_ENDPOINTS: "eds",
    names.TYPE_LISTENER: "lds",
    names.TYPE_ROUTE: "rds",
    names.TYPE_VIRTUAL_HOST: "vhds",
}


class Instruments:
    """The hub's counters and distributions; times in seconds."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connected = Gauge("pilot_xds", "Proxies that are connected.", registry=registry)
        self.waiting = Gauge("byway_xds_waiting", "Proxies that wait for their turn to start.", registry=registry)
        self.crowded = Counter("byway_xds_crowded", "Streams turned away in a storm.", registry=registry)
        self.internal_errors = Counter(
            "pilot_total_xds_internal_errors", "Streams ended by a defect.", registry=registry
        )
        self.convergence = Histogram(
            "pilot_proxy_convergence_time",
            "From a change to the acknowledgement of one proxy that it concerns.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue = Histogram(
            "pilot_proxy_queue_time",
            "From a change until one proxy is told of it.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.push = Histogram(
            "pilot_xds_push_time", "What one step of one stream takes.", buckets=_SECONDS, registry=registry
        )
        self._pushes = Counter("pilot_xds_pushes", "Responses sent, by type.", ["type"], registry=registry)
        self._rejects = Counter("pilot_total_xds_rejects", "Resources refused by proxies.", ["type"], registry=registry)

    def pushed(self, type_url: str) -> None:
        """A response went out."""
        self._pushes.labels(_SHORT.get(type_url, "other")).inc()

    def refused(self, type_url: str) -> None:
        """A proxy refused a resource for good."""
        self._rejects.labels(_SHORT.get(type_url, "other")).inc()

    def text(self) -> str:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry).decode()
