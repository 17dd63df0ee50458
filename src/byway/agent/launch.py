"""The launcher: a small program that becomes an application or an Envoy, after it has put on that process's
surroundings.

`python -I -S launch.py JSON` enters the network namespace, gives the process its own resolver files in a mount
namespace, leaves a record of pid and start time, drops privileges and executes. It uses the standard library only, so
that it starts in some 15 ms, and it does not depend on the agent: what it starts goes on when the agent dies.

The record is also a lock (a POSIX record lock: kept across exec, not inherited by children): whoever holds it *is*
the process. A second launcher with the same record ends with EXIT_ALREADY_RUNNING, so no restart of an agent, however
timed, duplicates a process.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import sys

EXIT_ALREADY_RUNNING = 75
EXIT_NOT_STARTED = 127

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 1 << 19
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITIES_V3 = 0x20080522
_N_STANDARD_DESCRIPTORS = 3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Specification = dict[str, Any]


def main() -> None:
    """Becomes what the first argument describes; never returns."""
    specification = json.loads(sys.argv[1])
    os.closerange(_N_STANDARD_DESCRIPTORS + len(specification.get("descriptors", ())), 4096)
    try:
        if specification.get("record"):
            os.setsid()
            leave_record(specification)
        path, program = become(specification)
    except OSError as error:
        sys.stderr.write(f"byway: cannot start {specification['argv'][0]}: {error}\n")
        sys.exit(EXIT_NOT_STARTED)
    execute(path, program, specification)


def leave_record(specification: Specification) -> None:
    """Takes the lock for the life of the process, and writes who it is.

    The lock is a file of its own: the descriptor stays open in the process, which must not be able to write its record.
    """
    path = specification["record"]
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        sys.stderr.write(f"byway: {path} is held by a running process\n")
        sys.exit(EXIT_ALREADY_RUNNING)
    os.set_inheritable(fd, True)
    write_record(path, specification.get("fingerprint", ""), specification.get("n_restarts", 0))


def write_record(path: str, fingerprint: str, n_restarts: int = 0) -> None:
    """Writes which process this is, and how often it was started again before, in one step."""
    with open("/proc/self/stat") as stat:  # noqa: PTH123 - pathlib would double the start time
        start = int(stat.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/sys/kernel/random/boot_id") as boot:  # noqa: PTH123
        record = {
            "pid": os.getpid(),
            "start": start,
            "boot": boot.read().strip(),
            "fingerprint": fingerprint,
            "n_restarts": n_restarts,
        }
    fresh = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fresh, json.dumps(record).encode())
    os.close(fresh)
    os.rename(f"{path}.new", path)  # noqa: PTH104


def become(specification: Specification) -> tuple[str, int]:
    """Puts the surroundings on, in the order in which privileges allow it; the program's path and a descriptor of it."""
    path = program_path(specification["argv"][0], specification["env"].get("PATH", ""), specification.get("cwd") or "/")
    program = os.open(path, os.O_PATH | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if specification.get("netns"):
        namespace = os.open(specification["netns"], os.O_RDONLY | os.O_CLOEXEC)
        check(libc.setns(namespace, _CLONE_NEWNET), specification["netns"])
    if specification.get("binds"):
        bind(libc, specification["binds"])
    os.chdir(specification.get("cwd") or "/")
    change_user(libc, specification)
    if specification.get("no_new_privileges"):
        check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    return path, program


def change_user(libc: ctypes.CDLL, specification: Specification) -> None:
    """Gives up root where another user is asked for, but for the capabilities that are to be kept."""
    uid, gid = specification.get("uid"), specification.get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        return
    kept = specification.get("capabilities", ())
    if kept:
        check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps")
    os.setgroups([] if gid is None else [gid])
    if gid is not None:
        os.setresgid(gid, gid, gid)
    if uid is not None:
        os.setresuid(uid, uid, uid)
        keep(libc, kept)


def keep(libc: ctypes.CDLL, capabilities: list[int]) -> None:
    """Keeps these capabilities, and no others, also across execution; a container that lacks one goes without them."""
    mask = sum(1 << number for number in capabilities)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    low_and_high = [mask & 0xFFFFFFFF] * 3 + [mask >> 32] * 3  # effective, permitted, inheritable of each half
    if mask and libc.capset(header, (ctypes.c_uint32 * 6)(*low_and_high)) == 0:
        for number in capabilities:
            check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0), "ambient capability")


def program_path(name: str, search: str, cwd: str) -> str:
    """The file that `name` means, looked up as a shell does; by itself, because no module can be loaded later on."""
    if "/" not in name:
        for directory in search.split(":"):
            candidate = f"{directory or '.'}/{name}"
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):  # noqa: PTH113
                return candidate
    return os.path.join(cwd, name)  # noqa: PTH118


def bind(libc: ctypes.CDLL, binds: list[list[str]]) -> None:
    """Lays files over others, seen by this process and its children only; a target that does not exist is left alone."""
    check(libc.unshare(_CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "/")
    for source, target in binds:
        if os.path.exists(target):  # noqa: PTH110
            check(libc.mount(source.encode(), os.path.realpath(target).encode(), None, _MS_BIND, None), target)


def execute(path: str, program: int, specification: Specification) -> None:
    """Executes; by descriptor where the process's user may run the program but not walk the directories to it."""
    argv, environment = specification["argv"], specification["env"]
    try:
        with contextlib.suppress(PermissionError):
            os.execve(path, argv, environment)  # noqa: S606
        os.execve(program, argv, environment)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"byway: cannot run {argv[0]}: {error.strerror}\n")
        sys.exit(EXIT_NOT_STARTED)


def check(result: int, subject: str) -> None:
    """Raises what the C library noted, where a call failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), subject)


if __name__ == "__main__":
    main()
