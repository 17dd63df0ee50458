"""The mesh's network on this host as a whole: built or adopted from a plan, and removed from what was noted while it
was built.

The note (`run/network.json`) is written before anything is made, so that also a half-built network can be removed
without its plan.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Network

import msgspec

from byway.agent.interception import commands, host, namespaces
from byway.agent.interception.addresses import free_subnets, gateway_address
from byway.agent.interception.claims import claimed
from byway.agent.interception.names import bridge_name, link_name, namespace_name
from byway.agent.interception.namespaces import Namespace
from byway.agent.layout import Layout, private_directory, write_whole
from byway.agent.plan import Plan, plan_from_json
from byway.base.errors import UsageError
from byway.base.json import decoded


class NetworkNote(msgspec.Struct, frozen=True):
    """What a mesh has made, or was about to make, in the host's network."""

    mesh: str
    bridge: str
    namespaces: tuple[str, ...]


def planned_namespaces(plan: Plan) -> tuple[Namespace, ...]:
    """The namespaces that `plan` asks for."""
    bridge = plan.network.bridge or bridge_name(plan.network_name)
    return tuple(
        Namespace(
            name=namespace_name(plan.network_name, workload.instance),
            link=link_name(plan.network_name, workload.instance),
            address=workload.address,
            subnet=plan.network.subnet,
            bridge=bridge,
            is_proxied=workload.kind != "grpc",
        )
        for workload in plan.intercepted
    )


def unused_subnet() -> str | None:
    """The first candidate subnet that this host has no use for."""
    return next(iter(_unused_subnets()), None)


@contextlib.contextmanager
def claimed_subnet() -> Iterator[str]:
    """The first unused subnet, kept from other meshes that start at the same time; empty where there is none."""
    with claimed(*_unused_subnets()) as subnet:
        yield subnet


def _unused_subnets() -> tuple[str, ...]:
    routes = [str(e.get("dst", "")) for e in commands.listing("route", "show", "table", "all")]
    addresses = [
        f"{a['local']}/{a['prefixlen']}"
        for e in commands.listing("address", "show")
        for a in e["addr_info"]
        if a["family"] == "inet"
    ]
    return free_subnets([*routes, *addresses])


def build(plan: Plan, layout: Layout) -> None:
    """Brings the network about; what exists is adopted, and namespaces that the plan no longer holds are removed."""
    wanted = planned_namespaces(plan)
    if not wanted:
        return
    noted = note(layout)
    bridge, names = wanted[0].bridge, tuple(n.name for n in wanted)
    obsolete = tuple(n for n in (noted.namespaces if noted else ()) if n not in names)
    write_note(NetworkNote(plan.network_name, bridge, names + obsolete), layout)
    namespaces.remove(obsolete)
    subnet = IPv4Network(plan.network.subnet)
    host.build_bridge(bridge, gateway_address(plan.network.subnet), subnet.prefixlen)
    host.let_traffic_leave(plan.network_name, bridge, plan.network.subnet)
    links = frozenset(namespaces.links_of(plan.network_name))
    for namespace in wanted:
        namespaces.build(namespace, links)
    write_note(NetworkNote(plan.network_name, bridge, names), layout)


def remove(layout: Layout) -> None:
    """Removes everything that was noted; what is gone already is no error."""
    noted = known(layout)
    if noted is None:
        return
    host.remove_links((*namespaces.links_of(noted.mesh), noted.bridge))
    namespaces.remove(noted.namespaces)
    host.take_back(noted.mesh)
    with contextlib.suppress(FileNotFoundError):
        layout.network.unlink()


def note_forgotten(plan: Plan, layout: Layout) -> bool:
    """Notes what is there of the plan's network although no note speaks of it: its state directory was deleted."""
    there = _present(plan) if note(layout) is None else None
    if there is None:
        return False
    write_note(there, layout)
    return True


def known(layout: Layout) -> NetworkNote | None:
    """What was noted; where the note is lost, what is there of the network that the mesh's plan asks for."""
    noted = note(layout)
    if noted is not None:
        return noted
    try:
        return _present(plan_from_json(layout.plan.read_bytes()))
    except (FileNotFoundError, UsageError):  # which plan nobody can tell
        return None


def _present(plan: Plan) -> NetworkNote | None:
    wanted = planned_namespaces(plan)
    if not wanted:
        return None
    bridge, names = wanted[0].bridge, tuple(n.name for n in wanted)
    is_there = namespaces.present_namespaces() & set(names) or bridge in host.link_names()
    return NetworkNote(plan.network_name, bridge, names) if is_there else None


def note(layout: Layout) -> NetworkNote | None:
    """What was noted; None where nothing was, or nothing that can be read."""
    try:
        return decoded(layout.network.read_bytes(), NetworkNote)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_note(value: NetworkNote, layout: Layout) -> None:
    """Notes what is about to be made."""
    private_directory(layout.run)
    write_whole(layout.network, msgspec.json.encode(value))
