"""The host's side of the network: the bridge, its forwarding and masquerading, and how all of it is taken back.

Several meshes, and other programs, share a host's tables and its `ip_forward` switch. Each mesh therefore keeps to
chains of its own, and the meshes of a host note in `/run/byway` what they found before the first of them: the last to
leave restores it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from byway.agent.interception import commands, rules
from byway.agent.interception.names import chain_prefix
from byway.base.errors import FaultError
from byway.base.json import decoded

_SHARED: Final = Path("/run/byway")
_FORWARD_SWITCH: Final = Path("/proc/sys/net/ipv4/ip_forward")
_NFTABLES_IPV4: Final = 2


class HostBefore(msgspec.Struct):
    """The host before its first mesh, and the meshes on it now."""

    ip_forward: str
    tables: tuple[str, ...]
    meshes: list[str]


def build_bridge(bridge: str, gateway: str, prefix_length: int) -> None:
    """Makes the bridge with its address, or mends what is there."""
    entries = [e for e in commands.listing("address", "show") if e["ifname"] == bridge]
    lines = [] if entries else [f"link add {bridge} type bridge"]
    held = [(a["local"], a["prefixlen"]) for e in entries for a in e["addr_info"] if a["family"] == "inet"]
    lines += [f"address del {a}/{n} dev {bridge}" for a, n in held if (a, n) != (gateway, prefix_length)]
    if (gateway, prefix_length) not in held:
        lines.append(f"address add {gateway}/{prefix_length} dev {bridge}")
    commands.batch([*lines, f"link set {bridge} up"])


def let_traffic_leave(mesh: str, bridge: str, subnet: str) -> None:
    """Allows forwarding from the bridge and masquerades it."""
    with _shared_note() as note:
        before = _read(note) or HostBefore(
            _FORWARD_SWITCH.read_text().strip(), rules.present_tables(commands.saved_rules()), []
        )
        if mesh not in before.meshes:
            before.meshes.append(mesh)
        note.write_bytes(msgspec.json.encode(before))
        commands.restore_part(
            rules.host_rules(rules.host_chains(chain_prefix(mesh), bridge, subnet), commands.saved_rules())
        )
        if _FORWARD_SWITCH.read_text().strip() != "1":
            _FORWARD_SWITCH.write_text("1")


def take_back(mesh: str) -> None:
    """Removes the mesh's chains; the last mesh restores what the first one found."""
    with _shared_note() as note:
        commands.restore_part(rules.host_removal(chain_prefix(mesh), commands.saved_rules()))
        before = _read(note)
        if before is None:
            return
        before.meshes = [m for m in before.meshes if m != mesh]
        if before.meshes:
            note.write_bytes(msgspec.json.encode(before))
            return
        _restore(before)
        note.unlink()


def remove_links(names: tuple[str, ...]) -> None:
    """Removes links of the host; one that is gone already is no error."""
    for name in names:
        if name in link_names():
            try:
                commands.output("ip", "link", "delete", name)
            except commands.NetworkToolFailed:
                if name in link_names():  # else it went with its namespace in between
                    raise


def link_names() -> frozenset[str]:
    """The links of the host."""
    return frozenset(str(e["ifname"]) for e in commands.listing("link", "show"))


def _restore(before: HostBefore) -> None:
    if _FORWARD_SWITCH.read_text().strip() != before.ip_forward:
        _FORWARD_SWITCH.write_text(before.ip_forward)
    brought = [t for t in rules.vacant_tables(commands.saved_rules()) if t not in before.tables]
    if brought and "nf_tables" in commands.output("iptables", "--version"):
        _delete_tables(brought)


def _delete_tables(tables: list[str]) -> None:
    """iptables itself never deletes a table that it brought into being."""
    from pyroute2.nftables.main import NFTables

    nftables = NFTables(nfgen_family=_NFTABLES_IPV4)
    try:
        for table in tables:
            nftables.table("del", name=table)
    except OSError as error:
        raise FaultError(f"empty tables {', '.join(tables)} could not be deleted: {error}") from error
    finally:
        nftables.close()


def _read(note: Path) -> HostBefore | None:
    try:
        return decoded(note.read_bytes(), HostBefore)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextlib.contextmanager
def _shared_note() -> Iterator[Path]:
    """The note that all meshes of this host share, locked against the others."""
    _SHARED.mkdir(mode=0o755, exist_ok=True)
    lock = os.open(_SHARED / "host.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _SHARED / "host.json"
    finally:
        os.close(lock)
