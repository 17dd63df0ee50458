"""What a client of the gRPC library is to know of a destination, where no proxy stands between.

A proxy chooses for each instance whether to speak mutual TLS; the gRPC library knows one way of speaking for a whole
cluster. So the instances behind one cluster are either all spoken to by mutual TLS, and those that take none are left out, or
all in plain text. Nobody is called in plain text because somebody else behind the same service has no sidecar.
"""

from __future__ import annotations

from byway.derive.clusters import ClusterName, subset, traffic_policy
from byway.derive.endpoints import endpoints
from byway.engine import Database, query
from byway.model.destination import Transport
from byway.model.workload import Endpoint


@query
def transport(db: Database, namespace: str, name: str) -> Transport:
    """How clients in `namespace` speak to the cluster `name`: `MUTUAL`, `DISABLE` or `SIMPLE`."""
    parts = ClusterName.parse(name)
    if parts is None:
        return Transport.DISABLE
    said = traffic_policy(db, namespace, parts).transport or Transport.AUTO
    if said is not Transport.AUTO:
        return said
    behind = endpoints(db, parts.host, parts.port, ())
    # With nobody there yet nothing is known, and what comes will rather have a sidecar.
    is_plain = bool(behind) and not any(endpoint.takes_mutual_tls for endpoint in behind)
    return Transport.DISABLE if is_plain else Transport.MUTUAL


@query
def reached_endpoints(db: Database, namespace: str, name: str) -> tuple[Endpoint, ...]:
    """The instances behind the cluster `name` that can be spoken to that way, sorted."""
    parts = ClusterName.parse(name)
    if parts is None:
        return ()
    chosen = subset(db, namespace, parts.host, parts.subset) if parts.subset else None
    if parts.subset and chosen is None:
        return ()
    found = endpoints(db, parts.host, parts.port, chosen.labels if chosen else ())
    is_mutual = transport(db, namespace, name) is Transport.MUTUAL
    return tuple(endpoint for endpoint in found if endpoint.takes_mutual_tls or not is_mutual)
