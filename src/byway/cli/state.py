"""Where the meshes of this machine keep their state, as far as the command line must know it.

Each mesh has one directory (`token`, `plan.json`, `agent.sock` …): below `/var/lib/byway` when root runs it, else
below the user's own state folder. A verb that acts on a mesh finds its directory by `--state`, by the mesh's name,
or by being alone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from byway.app.state import state_roots
from byway.base.errors import FaultError, UsageError
from byway.cli.wording import WrongUsageError

_AGENT_LOCK: Final = ("run", ".agent.process.lock")


def known_states() -> tuple[Path, ...]:
    """Every state directory on this machine that this user can see."""
    return tuple(child for root in state_roots() for child in _children(root))


def states_at_work() -> tuple[Path, ...]:
    """The state directory of every mesh that runs here, wherever it is: its agent holds a lock in it.

    Those of other users are seen by root only.
    """
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # another user's process, or one that has just ended
                opened = [fd.readlink() for fd in (process / "fd").iterdir()]
                found |= {path.parents[1] for path in opened if path.parts[-2:] == _AGENT_LOCK}
    return tuple(sorted(found))


def _children(root: Path) -> list[Path]:
    try:
        return sorted(child for child in root.iterdir() if child.is_dir())
    except OSError:
        return []  # not there, or another user's: either way no state of ours


def running_state(given: str | None) -> Path:
    """The state directory of the local mesh that runs here; `given` is what `--state` said."""
    if given:
        return _existing(Path(given).expanduser())
    planned = [state for state in known_states() if _is_there(state / "plan.json")]
    alive = [state for state in planned if _is_there(state / "agent.sock")] or list(states_at_work()) or planned
    if len(alive) == 1:
        return alive[0]
    if not alive:
        raise UsageError(
            "no mesh runs on this machine (start one with `byway demo`, or name its directory with --state)"
        )
    raise WrongUsageError(f"several meshes are here: {', '.join(map(str, alive))} (choose one with --state)")


def _existing(state: Path) -> Path:
    if not state.is_dir():
        raise UsageError(f"there is no state directory {state} (it is made by `byway demo`, `up` and `serve`)")
    return state


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def write_token(given_state: str | None, mesh: str) -> str:
    """The bearer token that writes need: `$BYWAY_TOKEN`, else the `token` file of the mesh's state directory."""
    if token := os.environ.get("BYWAY_TOKEN"):
        return token.strip()
    if given_state:
        candidates = [_existing(Path(given_state).expanduser())]
    else:
        candidates = [root / mesh for root in state_roots()] if mesh else list(known_states())
    for state in candidates:
        try:
            return (state / "token").read_text().strip()
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise FaultError(
                f"the token {state / 'token'} is another user's (run this with sudo, or set BYWAY_TOKEN)"
            ) from error
        except OSError as error:
            raise FaultError(f"cannot read {state / 'token'}: {error.strerror}") from error
    return ""
