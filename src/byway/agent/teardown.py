"""Removal of everything that a mesh has on this host, with or without a living agent: after it nothing hinders the
next start.

It trusts records only as far as their start times go, and knows the network from the note that was written before
anything was made. What is gone already is no error, so it may be run at any time, and again.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from byway.agent import processes
from byway.agent.interception import names, network
from byway.agent.layout import Layout
from byway.agent.plan import Plan
from byway.agent.processes import Process

_TERMINATE_S: Final = 3.0
_KILL_S: Final = 3.0


def remove_everything(state: Path) -> None:
    """Ends the mesh's agent, applications, Envoys and DNS server, then removes its network, sockets and run
    directory.
    """
    layout = Layout(state)
    _end([p for p in _recorded(layout.record("agent")) if p.pid != os.getpid()], signal.SIGKILL)
    _end([p for i in layout.remembered() for p in _recorded(layout.workload(i).record("app"))])
    envoys = [p for i in layout.remembered() for p in _recorded(layout.workload(i).record("envoy"))]
    _end([*envoys, *_recorded(layout.record("dns"))])
    _end(strangers(layout))
    network.remove(layout)
    layout.api_socket.unlink(missing_ok=True)
    if layout.run.is_dir():
        shutil.rmtree(layout.run)


def remove_forgotten(plan: Plan, state: Path) -> None:
    """Removes what runs in this plan's network although its records are lost, before it is built anew."""
    if network.note_forgotten(plan, Layout(state)):
        remove_everything(state)


def end_recorded(record: Path) -> None:
    """Ends the process that left `record`, if it lives."""
    _end(list(_recorded(record)))


def remove_instance(layout: Layout, instance: str) -> None:
    """Ends what runs for an instance that the plan no longer holds, and forgets it."""
    workload = layout.workload(instance)
    for process in ("app", "envoy"):
        _end(list(_recorded(workload.record(process))))
    shutil.rmtree(workload.root, ignore_errors=True)


def strangers(layout: Layout) -> list[Process]:
    """Processes of the mesh that no record names: those in its namespaces, such as a shell of `byway exec`, and those
    that hold the lock of a record which somebody has deleted.
    """
    noted = network.known(layout)
    own = {_inode(names.namespace_path(n)) for n in (noted.namespaces if noted else ())} - {None}
    records = f"{layout.run.resolve()}/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        if (own and _inode(entry / "ns" / "net") in own) or _holds_record(entry, records):
            with contextlib.suppress(OSError):
                found.append(Process(int(entry.name), os.pidfd_open(int(entry.name)), "", is_child=False))
    return found


def _holds_record(process: Path, records: str) -> bool:
    try:
        opened = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
    except OSError:  # another user's, or just ended
        return False
    return any(path.startswith(records) and ".process.lock" in path for path in opened)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _recorded(path: Path) -> Iterator[Process]:
    process = processes.adopted(path)
    if process is not None:
        yield process


def _end(ending: Iterable[Process], number: signal.Signals = signal.SIGTERM) -> None:
    """Ends processes together: asked first, killed after a while, each with its session."""
    left = list(ending)
    for bound_s, order in ((_TERMINATE_S, number), (_KILL_S, signal.SIGKILL)):
        for process in left:
            process.send(order)
        left = _await(left, bound_s)
    for process in left:
        process.close()


def _await(ending: list[Process], bound_s: float) -> list[Process]:
    """Waits for processes to end; those that have not after `bound_s` seconds are returned."""
    left = {p.pidfd: p for p in ending}
    deadline = time.monotonic() + bound_s
    while left:
        readable, _, _ = select.select(list(left), [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            break
        for pidfd in readable:
            left.pop(pidfd).reap()
    return list(left.values())
