"""Network namespaces of the bench's own, on a bridge of their own, for what is measured without Byway.

Names carry the pid of the run that made them, so that two runs do not meet and what a killed run left is found and
removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.process import BenchFailed, output
from byway.agent.interception.network import unused_subnet
from byway.agent.interception.rules import workload_rules
from byway.model.names import VIP_NETWORK

_NAMESPACES: Final = Path("/run/netns")
_PREFIX: Final = "bwbench"
_LINK: Final = "eth0"
_LIMIT_S: Final = 20.0


class Place(msgspec.Struct, frozen=True):
    """One namespace."""

    namespace: str
    address: str

    @property
    def entered(self) -> tuple[str, ...]:
        """What to put before a command to run it there."""
        return ("ip", "netns", "exec", self.namespace)


class Ground(msgspec.Struct, frozen=True):
    """The bridge, on which places are made."""

    bridge: str
    subnet: str

    def place(self, number: int, *, is_intercepted: bool) -> Place:
        """A namespace on the bridge; an intercepted one has the very rules that a workload of Byway has."""
        pid = os.getpid()
        place = Place(f"{_PREFIX}-{pid}-{number}", self.subnet.replace(".0.0/16", f".0.{number + 10}"))
        link = f"bb{pid}x{number}"
        _ip(f"netns add {place.namespace}")
        _ip(f"link add {link} type veth peer name {_LINK} netns {place.namespace}")
        _ip(f"link set {link} master {self.bridge} up")
        for line in (f"address add {place.address}/16 dev {_LINK}", "link set lo up", f"link set {_LINK} up"):
            _ip(f"-n {place.namespace} {line}")
        if is_intercepted:
            output((*place.entered, "iptables-restore", "-w", "10"), _LIMIT_S, stdin=workload_rules())
            _ip(
                f"-n {place.namespace} route add {VIP_NETWORK} dev {_LINK}"
            )  # it is intercepted, but must have a way out
        return place


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """A bridge for this run; it and all its places are removed afterwards, and what a killed run left before."""
    _remove_of(_dead_runs())
    subnet = unused_subnet()
    if subnet is None:
        raise BenchFailed("no free network for the bare set-up")
    bridge = f"bb{os.getpid()}"
    try:
        _ip(f"link add {bridge} type bridge")
        _ip(f"address add {subnet.replace('.0.0/16', '.0.1/16')} dev {bridge}")
        _ip(f"link set {bridge} up")
        yield Ground(bridge, subnet)
    finally:
        _remove_of({os.getpid()})


def _dead_runs() -> set[int]:
    found = {int(name.split("-")[1]) for name in _names() if name.split("-")[1].isdigit()}
    return {pid for pid in found if not Path(f"/proc/{pid}").exists()}


def _names() -> list[str]:
    if not _NAMESPACES.is_dir():
        return []
    return [path.name for path in _NAMESPACES.iterdir() if path.name.startswith(f"{_PREFIX}-")]


def _remove_of(pids: set[int]) -> None:
    """A veth pair goes with its namespace; processes in it are the starter's to end before."""
    for name in _names():
        if name.split("-")[1] in {str(pid) for pid in pids}:
            _ip(f"netns delete {name}")
    for pid in pids:
        if Path(f"/sys/class/net/bb{pid}").exists():
            _ip(f"link delete bb{pid}")


def _ip(line: str) -> None:
    output(("ip", *line.split()), _LIMIT_S)
