"""Where a mesh of this machine keeps its state when nobody says otherwise."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ADMIN = "admin"
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read, not bound
SYSTEM_ROOT = Path("/var/lib/byway")


def state_roots() -> tuple[Path, ...]:
    """The folders whose children are state directories, the one for this user's own meshes first."""
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "byway"
    return (SYSTEM_ROOT,) if os.geteuid() == 0 else (own, SYSTEM_ROOT)


def default_state(mesh: str) -> Path:
    """The state directory of the mesh of this name."""
    return state_roots()[0] / mesh


def keep_admin(state: Path, address: str) -> None:
    """Writes down where the admin API of the mesh in `state` is, for a command line that is told only the state.

    A disk that is full keeps nobody from working: that command line needs its --server then.
    """
    with contextlib.suppress(OSError):
        (state / _ADMIN).write_text(f"{address}\n")


def admin_of(state: Path) -> str:
    """The admin address HOST:PORT of the mesh in `state`, as its last control plane wrote it; "" where none did, or is ours."""
    with contextlib.suppress(OSError):
        host, _, port = (state / _ADMIN).read_text().strip().rpartition(":")
        return f"{_FROM_HERE.get(host, host)}:{port}"
    return ""
