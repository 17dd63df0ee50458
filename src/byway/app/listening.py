"""Who listens on a TCP port of this machine, read from /proc."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_forbidden(host: str, port: int) -> bool:
    """Whether this user may not listen there: the lowest ports are for root, or who has CAP_NET_BIND_SERVICE."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, port))
        except PermissionError:
            return True
        except OSError:
            return False
    return False


def holder(port: int) -> str:
    """The process that listens on a port, as `nginx (pid 812)`; empty where that cannot be seen."""
    inodes = _inodes(port)
    for process in Path("/proc").iterdir() if inodes else ():
        if process.name.isdigit() and _holds(process, inodes):
            return f"{_name(process)} (pid {process.name})"
    return ""


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6 has no tcp6
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(descriptor.readlink()) in inodes for descriptor in (process / "fd").iterdir())
    except OSError:
        return False  # another user's process, or one that has just ended


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"
