"""Secrets on disk: a directory that only its owner enters, files that appear whole or not at all.

A secret whose mode or owner would let another user read it is refused on reading, with the command that mends it:
such a key may have been copied already, and going on in silence would hide that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from byway.base.errors import FaultError

_MAX_BYTES: Final = 1024 * 1024


class UnsafeFile(FaultError):
    """A secret that others may read or replace, or a file that cannot be read or written."""


def private_directory(path: Path) -> None:
    """Makes sure that `path` is a directory which only this user enters."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as fault:
        raise UnsafeFile(f"cannot make directory {path}: {fault.strerror}") from fault
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFile(f"{path} is not a directory (remove it)")
    _check_owner(path, status, "700")


def check_unwritable(path: Path) -> None:
    """Makes sure that nobody but this user and root may change the file, or what is in the directory: it is believed."""
    try:
        status = path.stat()
    except OSError as fault:
        raise UnsafeFile(f"cannot read {path}: {fault.strerror}") from fault
    if status.st_uid not in (os.geteuid(), 0):
        raise UnsafeFile(f"{path} belongs to user {status.st_uid} (run: chown {os.geteuid()} {path})")
    if stat.S_IMODE(status.st_mode) & 0o022:
        found = f"{stat.S_IMODE(status.st_mode):04o}"
        raise UnsafeFile(f"{path} may be changed by others, mode {found} (run: chmod go-w {path})")


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Holds the directory for this process alone; a second process is refused rather than kept waiting."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as fault:
        raise UnsafeFile(f"another process is setting up {directory} (start again when it is done)") from fault
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """The content of a secret file, once its owner and mode are found safe."""
    return _read(path, is_secret=True)


def read_public(path: Path) -> bytes:
    """The content of a file that anybody may read."""
    return _read(path, is_secret=False)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Puts `content` at `path`, durably and in one step; the caller holds the directory."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # what a crash left behind
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
        _sync_directory(path.parent)
    except OSError as fault:
        raise UnsafeFile(f"cannot write {path}: {fault.strerror}") from fault


def _read(path: Path, *, is_secret: bool) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if is_secret else 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnsafeFile(f"{path} is not a regular file")
            if is_secret:
                _check_owner(path, status, "600")
            content = file.read(_MAX_BYTES + 1)
    except OSError as fault:
        raise UnsafeFile(f"cannot read {path}: {fault.strerror}") from fault
    if len(content) > _MAX_BYTES:
        raise UnsafeFile(f"{path} is longer than {_MAX_BYTES} bytes")
    return content


def _check_owner(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise UnsafeFile(f"{path} belongs to user {status.st_uid} (run: chown {os.geteuid()} {path})")
    if stat.S_IMODE(status.st_mode) & 0o077:
        found = f"{stat.S_IMODE(status.st_mode):04o}"
        raise UnsafeFile(f"{path} is open to others, mode {found} (run: chmod {mode} {path})")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
