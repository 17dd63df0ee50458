"""Which process runs the mesh of a state directory, and which its control plane: each one at a time, known by its pid as
long as it holds a lock.

The lock ends with its holder, however that ends, so that a pid left behind by a killed one is never believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

from byway.agent import teardown
from byway.agent.layout import Layout, private_directory
from byway.base.errors import UsageError

_RECORD: Final = "local.pid"
_SERVING: Final = "serve.pid"
_END_LIMIT_S: Final = 45.0


@contextlib.contextmanager
def only_supervisor(state: Path) -> Iterator[None]:
    """Holds `state` for this process; refuses while another process does."""
    with _held(state / _RECORD, f"this mesh runs already, from {state} (end it with `byway down --state {state}`)"):
        yield


@contextlib.contextmanager
def only_control_plane(state: Path) -> Iterator[None]:
    """Holds `state` for this control plane; refuses while another one serves from it."""
    with _held(state / _SERVING, f"a control plane serves from {state} already (give this one a --state of its own)"):
        yield


def control_plane(state: Path) -> int:
    """The control plane that serves from `state`; 0 where none does."""
    return _holder(state / _SERVING)


def end_supervisor(state: Path) -> None:
    """Asks the process that holds `state` to end its mesh in order, and waits for it; kills one that does not."""
    pid = _holder(state / _RECORD)
    if not pid:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number, limit_s in ((signal.SIGTERM, _END_LIMIT_S), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
            if select.select([pidfd], [], [], limit_s)[0]:
                return
    finally:
        os.close(pidfd)


def control_plane_record(state: Path) -> Path:
    """Where the control plane of a local mesh notes which process it is."""
    return state / "control-plane.process"


def forget(state: Path) -> None:
    """Takes back a state directory in which nothing was begun."""
    with contextlib.suppress(OSError):  # somebody else keeps something there
        (state / _RECORD).unlink(missing_ok=True)
        state.rmdir()


def scratch(state: Path) -> Path:
    """Where the processes of a run keep what must not outlive it."""
    return state / "scratch"


def kept_logs(state: Path) -> Path:
    """Where the logs of workloads that failed outlive `run/`, until the next start."""
    return state / "logs"


def keep_logs(state: Path, instances: Iterable[str]) -> bool:
    """Copies the logs of these workloads to where they outlive the mesh; whether there were any."""
    is_any = False
    for instance in instances:
        for process in ("app", "envoy"):
            log, kept = Layout(state).workload(instance).log(process), kept_logs(state) / instance
            with contextlib.suppress(OSError):  # never started, or the disk is full: the mesh must end all the same
                if log.stat().st_size:
                    private_directory(kept)
                    shutil.copyfile(log, kept / log.name)
                    is_any = True
    return is_any


def remove_former(state: Path) -> None:
    """Removes all that an earlier run from `state` left on this machine, however it ended."""
    record = control_plane_record(state)
    teardown.end_recorded(record)
    for path in (record, record.with_name(f"{record.name}.new")):
        path.unlink(missing_ok=True)
    if not control_plane(state):  # one that was started by hand goes on, and attests the next agent
        (state / "control.sock").unlink(missing_ok=True)
    teardown.remove_everything(state)
    shutil.rmtree(scratch(state), ignore_errors=True)


@contextlib.contextmanager
def _held(record: Path, complaint: str) -> Iterator[None]:
    with record.open("a+") as file:
        if not _locked(file):
            raise UsageError(complaint)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def _holder(record: Path) -> int:
    """The process that holds a record; 0 where none does."""
    try:
        with record.open("r+") as file:
            text = file.read().strip()
            return 0 if _locked(file) or not text.isdigit() else int(text)
    except FileNotFoundError:
        return 0


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
