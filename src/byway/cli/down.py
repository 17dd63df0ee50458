"""`byway down`: stops local meshes and takes back what they made on this machine."""

from __future__ import annotations

from pathlib import Path

from byway.base.errors import FaultError, UsageError
from byway.cli.options import State
from byway.cli.state import known_states, states_at_work


def command(*, state: State = None) -> int:
    """Stop a local mesh and clean up whatever it left on this machine.

    Without --state, all meshes of this user whose state is at its usual place are stopped; those that run from other
    state directories are named and left alone. Processes, namespaces, links, rules and sockets go; the state directory
    with the CA, the resources and the logs stays; of the applications' logs, those that failed, in its logs/. A control plane
    that was started with `byway serve` is named, and goes on; the exit code is 1 then.
    """
    states = [Path(state).expanduser()] if state else list(known_states())
    if state and not states[0].is_dir():
        raise UsageError(f"there is no state directory {state} (it is made by `byway demo`, `up` and `serve`)")
    known = {folder.resolve() for folder in states}
    elsewhere = [] if state else [folder for folder in states_at_work() if folder not in known]
    if not states and not elsewhere:
        print("no mesh has run on this machine")
        return 0
    from byway.app.local import down

    n_serving = 0
    for folder in states:
        try:
            serving = down(str(folder))
        except PermissionError as error:
            raise FaultError(f"the mesh in {folder} is another user's (run this with sudo)") from error
        except OSError as error:
            place = error.filename or folder
            raise FaultError(f"{place}: {error.strerror or error} (mend it, then run byway down again)") from error
        if serving:
            n_serving += 1
            print(f"{folder}: its control plane still runs, process {serving} (end it with Ctrl-C, or kill {serving})")
            continue
        print(
            f"{folder}: down, nothing of it runs; CA, resources and logs stay there (of applications, only what failed)"
        )
    for folder in elsewhere:
        print(f"{folder}: a mesh runs here and was left alone (byway down --state {folder} ends it)")
    return 1 if n_serving else 0
