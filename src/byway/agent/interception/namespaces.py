"""Network namespaces of workloads: made, adopted when they exist, removed; every step looks first and may be
repeated.

IPv6: it is switched off for every link that enters the namespace, before the link enters. iptables' rules cover IPv4
only, so an IPv6 address on the link would be a way past Envoy; without one, a call by IPv6 fails at once and the
caller falls back to IPv4. `::1` stays, it leads nowhere but to the workload itself.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from byway.agent.interception import commands, rules
from byway.agent.interception.addresses import gateway_address
from byway.agent.interception.names import NAMESPACE_DIRECTORY, WORKLOAD_LINK, link_prefix, namespace_path
from byway.base.errors import FaultError

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000
_IPV6_SWITCH: Final = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's namespace as it should be."""

    name: str
    link: str  # the host end of its veth pair
    address: str
    subnet: str
    bridge: str
    is_proxied: bool = True

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return namespace_path(self.name)


def inside(path: Path, work: Callable[[], T]) -> T:
    """What `work` returns, run by a thread of its own within the network namespace; sockets made there stay there."""
    results: list[T] = []
    errors: list[Exception] = []

    def enter_and_work() -> None:
        try:
            enter(path)
            results.append(work())
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread below
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name="inside-namespace", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter(path: Path) -> None:
    """Moves the calling thread into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)


def present_namespaces() -> frozenset[str]:
    """The names that `ip netns` knows."""
    return frozenset(p.name for p in NAMESPACE_DIRECTORY.iterdir()) if NAMESPACE_DIRECTORY.is_dir() else frozenset()


def build(namespace: Namespace, links: frozenset[str]) -> None:
    """Brings the namespace about where the host has `links`; what is there already is kept, with everything that runs
    in it.
    """
    if namespace.name not in present_namespaces():
        commands.output("ip", "netns", "add", namespace.name)
    inside(namespace.path, _disable_ipv6)  # also where an earlier try got no further than the namespace
    if namespace.link not in links:
        commands.batch(
            (
                f"link add {namespace.link} type veth peer name {WORKLOAD_LINK} netns {namespace.name}",
                f"link set {namespace.link} master {namespace.bridge} up",
            )
        )
    own = rules.workload_rules() if namespace.is_proxied else rules.unproxied_rules()
    commands.restore_whole(own, namespace.path)
    _address(namespace)


def _disable_ipv6() -> None:
    switch = Path(_IPV6_SWITCH.format("default"))
    if switch.exists() and switch.read_text().strip() != "1":
        switch.write_text("1")


def _address(namespace: Namespace) -> None:
    here = commands.listing("address", "show", namespace=namespace.path)
    link = next((entry for entry in here if entry["ifname"] == WORKLOAD_LINK), None)
    if link is None:
        raise FaultError(f"namespace {namespace.name} lost its link (run `byway down` and start again)")
    length = IPv4Network(namespace.subnet).prefixlen
    held = {(a["local"], a["prefixlen"]) for a in link["addr_info"] if a["family"] == "inet"}
    lines = [f"address del {a}/{n} dev {WORKLOAD_LINK}" for a, n in held if (a, n) != (namespace.address, length)]
    if (namespace.address, length) not in held:
        lines.append(f"address add {namespace.address}/{length} dev {WORKLOAD_LINK}")
    lines += ["link set lo up", f"link set {WORKLOAD_LINK} up"]
    lines.append(f"route replace default via {gateway_address(namespace.subnet)}")
    commands.batch(lines, namespace=namespace.path)


def remove(names: Iterable[str]) -> None:
    """Removes namespaces; one that is gone already is no error."""
    here = present_namespaces()
    for name in names:
        if name in here:
            commands.output("ip", "netns", "delete", name)


def links_of(mesh: str) -> tuple[str, ...]:
    """The host ends of the mesh's veth pairs."""
    return tuple(e["ifname"] for e in commands.listing("link", "show") if e["ifname"].startswith(link_prefix(mesh)))
