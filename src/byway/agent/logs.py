"""Bounded log files of processes that outlive the agent: what exceeds the limit is kept once, then the file starts
anew.

The processes hold their file open for appending, so it is copied and emptied rather than renamed; lines written in
between are lost. While no agent runs, nothing bounds the files.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 8 * 1024 * 1024
_TAIL_BYTES: Final = 4096


def open_for(path: Path, owner: int | None) -> None:
    """Makes the file, owned by the user that will write it: Envoy reopens `/dev/stdout` for access logs."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if owner is not None and os.geteuid() == 0:
            os.fchown(fd, owner, owner)
    finally:
        os.close(fd)


def bound(path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Empties the file at `path` where it exceeds the limit; its content moves to `<path>.1`."""
    try:
        if path.stat().st_size <= limit_bytes:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)


def last_line(path: Path) -> str:
    """The last line of the file, for an operator's eyes."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:300] if lines else ""
