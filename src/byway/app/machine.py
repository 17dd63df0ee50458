"""What a local mesh takes from the machine and from whoever started it: names, ports, users, the way of interception."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from byway.app.state import default_state
from byway.base.digest import digest
from byway.base.errors import UsageError
from byway.model.names import PORT_READY

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")


def interception(asked: str) -> Literal["iptables", "explicit"]:
    """How traffic reaches the proxies: by what was asked for, else by what this user may do."""
    is_root = os.geteuid() == 0
    if asked == "iptables" and not is_root:
        raise UsageError("--proxy iptables needs root (run it with sudo, or choose --proxy explicit)")
    return "iptables" if is_root and asked != "explicit" else "explicit"


def network_name(mesh: str, state: Path) -> str:
    """What the mesh's namespaces, links and chains are named after: two meshes of one name have two states."""
    where = state.resolve()
    return mesh if where == default_state(mesh).resolve() else f"{mesh}-{digest(str(where).encode())[:6]}"


def node_name() -> str:
    """This host's name, as a name in the mesh."""
    name = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname().lower()).strip("-")
    return name[:63] or "localhost"


def invoking(variable: str) -> int | None:
    """The user or group behind sudo, by its variable."""
    value = os.environ.get(variable, "")
    return int(value) if os.geteuid() == 0 and value.isdigit() else None


def application_environment() -> dict[str, str]:
    """What every application finds of its user's environment."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on now, readiness' own number first; all stay bound until the last one was taken."""
    with contextlib.ExitStack() as stack:
        for port in itertools.chain((PORT_READY,), itertools.repeat(0)):
            listener = stack.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            yield listener.getsockname()[1]
