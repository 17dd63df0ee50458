"""Processes that outlive their agent: started detached by the launcher, found again by their record, watched by
pidfd.

A record names a pid, its start time and the boot, so that a reused pid is never mistaken for ours; after the pidfd is
open, every signal goes through it or is sent while it shows the process to be alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from byway.agent import launch
from byway.base.json import decoded

_STANDARD_FILES: Final = 3
_RECORD_LIMIT_BYTES: Final = 4096


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher is to become."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = "/"
    record: str = ""  # empty: not detached, not recorded
    fingerprint: str = ""  # of what the process was started for; written into the record
    n_restarts: int = 0  # how often it was started again before, also by earlier agents; likewise
    netns: str = ""
    binds: tuple[tuple[str, str], ...] = ()
    uid: int | None = None
    gid: int | None = None
    no_new_privileges: bool = False
    capabilities: tuple[int, ...] = ()  # kept when root is given up, by their numbers in capabilities(7)
    descriptors: tuple[int, ...] = ()  # of the caller; the process inherits them as 3, 4, …

    def command(self) -> list[str]:
        """The command line of the launcher."""
        return [sys.executable, "-I", "-S", launch.__file__, msgspec.json.encode(self).decode()]


class ProcessRecord(msgspec.Struct, frozen=True):
    """Which process it is, beyond the reuse of pids."""

    pid: int
    start: int
    boot: str
    fingerprint: str = ""
    n_restarts: int = 0


class Process:
    """A living process of ours, or one that was living when it was opened."""

    def __init__(self, pid: int, pidfd: int, fingerprint: str, *, is_child: bool) -> None:
        self.pid = pid
        self.fingerprint = fingerprint
        self._pidfd = pidfd
        self._is_child = is_child
        self._code: int | None = None

    def is_alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        if self._pidfd < 0:
            return False
        readable, _, _ = select.select([self._pidfd], [], [], 0)
        return not readable

    async def exited(self) -> str:
        """Waits for the end, reaps, ends what is left of its session, and tells how it ended."""
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pidfd, _settle, gone)
        try:
            await gone
        finally:
            loop.remove_reader(self._pidfd)
        return self.reap()

    def reap(self) -> str:
        """Collects an ended process; tells how it ended."""
        end_session(self.pid)
        if self._is_child and self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        self.close()
        return ending(self._code)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and the processes of its group; none to one that has ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, number)
                else:
                    signal.pidfd_send_signal(self._pidfd, number)

    @property
    def pidfd(self) -> int:
        """Readable once the process has ended; -1 after `close`."""
        return self._pidfd

    def close(self) -> None:
        """Stops watching; the process goes on."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def ending(code: int | None) -> str:
    """An exit status in words."""
    if code is None:
        return "ended while it was adopted"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def start(specification: Launch, log: Path) -> Process:
    """Starts the launcher; what it becomes has the same pid."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        *_inheritance(specification.descriptors),
    ]
    pid = os.posix_spawn(sys.executable, specification.command(), specification.env, file_actions=actions)
    return Process(pid, os.pidfd_open(pid), specification.fingerprint, is_child=True)


def _inheritance(descriptors: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """In two steps, by way of numbers above all of them: no copy lands on one that is still to be copied."""
    above = max((_STANDARD_FILES + len(descriptors), *(fd + 1 for fd in descriptors)))
    for offset, fd in enumerate(descriptors):
        yield os.POSIX_SPAWN_DUP2, fd, above + offset
    for offset in range(len(descriptors)):
        yield os.POSIX_SPAWN_DUP2, above + offset, _STANDARD_FILES + offset


def adopted(record: Path) -> Process | None:
    """The living process that left `record`, or None."""
    known = read_record(record)
    if known is None or known.boot != boot_id():
        return None
    try:
        pidfd = os.pidfd_open(known.pid)
    except OSError:
        return None
    process = Process(known.pid, pidfd, known.fingerprint, is_child=False)
    if start_time(known.pid) != known.start or not process.is_alive():  # asked with the pidfd open: no reuse in between
        process.close()
        return None
    return process


def read_record(path: Path) -> ProcessRecord | None:
    """The record at `path`; None where there is none, or where it is just being written."""
    try:
        with path.open("rb") as file:
            return decoded(file.read(_RECORD_LIMIT_BYTES), ProcessRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def boot_id() -> str:
    """What tells this boot of the machine from others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None where there is no such process."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def end_session(pid: int) -> None:
    """Kills what is left of the session of an ended leader, so that a restart meets no port still taken.

    The kernel gives no pid out again while a session bears its number.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != pid:
            fields = stat_fields(int(entry.name))
            if fields and int(fields[3]) == pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)


def listening_ports(pid: int) -> frozenset[int]:
    """The TCP ports on which anything listens in the network namespace of `pid`."""
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return frozenset(ports)
