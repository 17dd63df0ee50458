"""Where a mesh of this machine keeps its state when nobody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_ROOT = Path("/var/lib/byway")


def state_roots() -> tuple[Path, ...]:
    """The folders whose children are state directories, the one for this user's own meshes first."""
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "byway"
    return (SYSTEM_ROOT,) if os.geteuid() == 0 else (own, SYSTEM_ROOT)


def default_state(mesh: str) -> Path:
    """The state directory of the mesh of this name."""
    return state_roots()[0] / mesh
