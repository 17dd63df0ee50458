"""Listeners: the two sides of a sidecar, and the ports of a gateway."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from byway.derive.authorization import access, access_at, mutual_tls
from byway.derive.clusters import ClusterName, traffic_policy
from byway.derive.endpoints import workload, workload_port
from byway.derive.gateways import gateway_ports
from byway.derive.lowered import mesh_defaults
from byway.derive.services import services_before, tcp_ports
from byway.derive.transition import STILL_OPEN, both
from byway.engine import Database, query
from byway.model.destination import ConnectionLimits
from byway.model.listener import GatewayListener, Inbound, InboundPort, Outbound
from byway.model.names import RESERVED_PORTS
from byway.model.policy import Access
from byway.model.service import Protocol, Service, ServicePort
from byway.model.workload import Interception, Workload, WorkloadPort


@query
def inbound(db: Database, namespace: str, instance: str) -> Inbound | None:
    """The server side of the sidecar beside this instance, as it is to be now: also for callers that are still to be told."""
    wanted = wanted_inbound(db, namespace, instance)
    before = STILL_OPEN(db, (namespace, instance))
    return both(wanted, before) if wanted is not None and before is not None else wanted


@query
def accepting(db: Database, namespace: str, instance: str) -> Inbound | None:
    """`inbound` as listeners and clusters show it.

    What HTTP requests may do comes with the routes: a rule for them leaves the listener, and all that hangs on it, alone.
    """
    side = inbound(db, namespace, instance)
    if side is None:
        return None
    ports = (replace(port, access=Access()) if port.protocol.is_http else port for port in side.ports)
    return replace(side, ports=tuple(ports))


@query
def wanted_inbound(db: Database, namespace: str, instance: str) -> Inbound | None:
    """The server side as the resources say it should be."""
    found = workload(db, namespace, instance)
    if found is None or found.interception is Interception.NONE:
        return None
    services = services_before(db, found)
    everything = access(db, namespace, found.labels)
    return Inbound(
        workload=found,
        ports=tuple(_inbound_port(db, found, port, services) for port in _accepted_ports(found, services)),
        other_mutual_tls=mutual_tls(db, namespace, found.labels, 0),
        other_access=access_at(everything, None, is_http=False),
        mesh=mesh_defaults(db),
    )


@query
def outbound(db: Database, namespace: str, instance: str) -> Outbound | None:
    """The client side of the sidecar beside this instance."""
    found = workload(db, namespace, instance)
    if found is None or found.interception is Interception.NONE:
        return None
    return Outbound(workload=found, tcp_ports=tcp_ports(db), mesh=mesh_defaults(db))


@query
def gateway_listener(db: Database, namespace: str, instance: str, port: int) -> GatewayListener | None:
    """One port of the gateway that this instance is."""
    found = workload(db, namespace, instance)
    if found is None or port not in gateway_ports(db, namespace, instance):
        return None
    return GatewayListener(workload=found, port=port, mesh=mesh_defaults(db))


@query
def listener_names(db: Database, namespace: str, instance: str) -> tuple[str, ...]:
    """The names of all listeners of this instance's proxy; they carry the workload."""
    found = workload(db, namespace, instance)
    if found is None:
        return ()
    who = f"{namespace}/{instance}"
    if found.interception is Interception.NONE:
        return tuple(f"gateway/{who}/{port}" for port in gateway_ports(db, namespace, instance))
    if found.interception is Interception.EXPLICIT:
        return (f"outbound/{who}", *(f"inbound/{who}/{port.name}" for port in found.ports))
    return (f"outbound/{who}", f"inbound/{who}")


def _accepted_ports(found: Workload, services: tuple[Service, ...]) -> Iterator[WorkloadPort]:
    """The ports that the instance declares, and those that services lead to without its saying so; each number once."""
    targets = (workload_port(port, found) for s in services for port in s.ports)
    # No declared port has a colon in its name.
    undeclared = (WorkloadPort(f":{number}", number, number) for number in targets if number)
    seen = set() if found.interception is Interception.EXPLICIT else set(RESERVED_PORTS)
    for port in (*found.ports, *undeclared):
        if port.number not in seen:
            seen.add(port.number)
            yield port


def _inbound_port(db: Database, found: Workload, port: WorkloadPort, services: tuple[Service, ...]) -> InboundPort:
    owner = _owner(found, port, services)
    # In explicit mode both ports are whatever was free on the host; operators speak of the one that is declared.
    number = owner[1].number if owner and found.interception is Interception.EXPLICIT else port.number
    protocol = owner[1].protocol if owner else Protocol.TCP
    return InboundPort(
        name=port.name,
        number=port.number,
        application=port.application,
        protocol=protocol,
        mutual_tls=mutual_tls(db, found.namespace, found.labels, number),
        access=access_at(access(db, found.namespace, found.labels), number, is_http=protocol.is_http),
        limits=_limits(db, owner) if owner else None,
        service=owner[0].host if owner else "",
        service_name=owner[0].name if owner else "",
        namespace=found.namespace,
    )


def _limits(db: Database, owner: tuple[Service, ServicePort]) -> ConnectionLimits | None:
    # As in Istio: of a DestinationRule's policy the server's side takes the connection pool.
    found, port = owner
    return traffic_policy(db, found.namespace, ClusterName(port.number, "", found.host)).limits


def _owner(found: Workload, port: WorkloadPort, services: tuple[Service, ...]) -> tuple[Service, ServicePort] | None:
    pairs = ((s, p) for s in services for p in s.ports if workload_port(p, found) == port.number)
    return next(pairs, None)
