"""A change of doors: what a workload accepts while its callers are still being told how to call it.

A door is what a caller must get right to be let in: the port, what is spoken there, whether plain text will do. Doors and
callers belong to different proxies, which learn of a change at different times. So a door that the change opens is opened
before any caller is told, and one that it shuts stays open until every caller has been told; in between both are let in.
Access rules do not wait: they are those of the change at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from byway.derive.endpoints import workloads
from byway.derive.lowered import mesh_defaults, workload_of
from byway.engine import Database, Input
from byway.kinds.istio.peer_authentication import PeerAuthentication
from byway.kinds.kubernetes.service import Service
from byway.kinds.resource import Resource
from byway.model.labels import Labels, labels_of, selects
from byway.model.listener import Inbound, InboundPort
from byway.model.policy import MutualTls
from byway.model.service import Protocol
from byway.model.workload import Interception
from byway.world.index import labelled

Who = tuple[str, str]
"""An instance: its namespace and its name."""

STILL_OPEN: Input[Who, Inbound | None] = Input("still-open", default=None)
"""What an instance accepted before a change that is on its way: it is accepted until the callers have been told."""

Door = tuple[int, Protocol | None, bool]
"""A port (0: all others), what is spoken there, and whether plain text will do. Mutual TLS always will."""


def doors(side: Inbound) -> frozenset[Door]:
    """What callers of this instance may rely on."""
    ports = ((port.number, port.protocol, port.mutual_tls is not MutualTls.STRICT) for port in side.ports)
    return frozenset((*ports, (0, None, side.other_mutual_tls is not MutualTls.STRICT)))


def opens(before: Inbound, after: Inbound) -> bool:
    """Whether there are callers that only `after` lets in: to a new port, by a new protocol, or in plain text."""
    return not _let_in(after) <= _let_in(before)


def _let_in(side: Inbound) -> frozenset[Door]:
    mutual = {(number, protocol, False) for number, protocol, _ in doors(side)}
    return doors(side) | mutual


def both(after: Inbound, before: Inbound) -> Inbound:
    """`after`, which also lets in whoever `before` did."""
    earlier = {port.number: port for port in before.ports}
    ports = [_both_ways(port, earlier.pop(port.number, None)) for port in after.ports]
    if after.workload.interception is Interception.IPTABLES:
        # A name leads to one port only; an old port whose name was taken over gets the name of one that nobody declares.
        taken = {port.name for port in ports}
        ports += (
            msgspec.structs.replace(port, name=f":{port.number}") if port.name in taken else port
            for port in earlier.values()
        )
    modes = {after.other_mutual_tls, before.other_mutual_tls}
    return msgspec.structs.replace(after, ports=tuple(ports), other_mutual_tls=_laxer(modes))


def shaped(db: Database, resources: Iterable[Resource]) -> set[Who]:
    """The instances whose doors these resources are about, as the mesh is now."""
    return {who for resource in resources for who in _shaped(db, resource)}


def _shaped(db: Database, resource: Resource) -> Iterator[Who]:
    namespace, spec = resource.id.namespace, resource.spec
    if resource.id.kind == "WorkloadEntry":
        yield namespace, resource.id.name
    elif isinstance(spec, Service):
        yield from ((w.namespace, w.instance) for w in workloads(db, namespace, labels_of(spec.selector)))
    elif isinstance(spec, PeerAuthentication):
        selector = labels_of(spec.selector.match_labels) if spec.selector else ()
        yield from _selected(db, namespace, selector)


def _selected(db: Database, namespace: str, selector: Labels) -> Iterator[Who]:
    is_everywhere = namespace == mesh_defaults(db).root_namespace
    for entry in labelled(db, selector, "" if is_everywhere else namespace):
        found = workload_of(db, entry) if selector else None
        if not selector or (found is not None and selects(selector, found.labels)):
            yield entry.namespace, entry.name


def _both_ways(port: InboundPort, before: InboundPort | None) -> InboundPort:
    if before is None:
        return port
    return msgspec.structs.replace(port, mutual_tls=_laxer({port.mutual_tls, before.mutual_tls}))


def _laxer(modes: set[MutualTls]) -> MutualTls:
    return modes.pop() if len(modes) == 1 else MutualTls.PERMISSIVE
