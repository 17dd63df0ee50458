"""The entry of supervised processes: `python -m byway.app.entry control-plane|agent SETTINGS-AS-JSON`."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from byway.app.settings import AgentSettings, ControlPlaneSettings
from byway.base.errors import BywayError
from byway.base.json import decoded

_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""A disk that is full or fails is no mistake in a program: it is told in one line, without a traceback."""


def main(arguments: list[str]) -> int:
    """Runs one process of the mesh; returns its exit code."""
    role, settings = arguments
    try:
        if role == "control-plane":
            from byway.app.control_plane import run_control_plane

            known = decoded(settings, ControlPlaneSettings)
            _leave_record(known.state, role)
            return run_control_plane(known)
        from byway.app.host import run_agent

        return run_agent(decoded(settings, AgentSettings))
    except BywayError as error:
        return _complaint(role, error)
    except OSError as error:
        if error.errno not in _DISK_FAULTS:
            raise
        return _complaint(role, error)
    except BaseExceptionGroup as group:
        own = sorted(_leaves(group), key=lambda error: not _is_told_plainly(error))
        if not _is_told_plainly(own[0]):
            traceback.print_exception(group)
        return _complaint(role, own[0])


def _leave_record(state: str, role: str) -> None:
    """The record helps `byway down` to end an orphan, which ends by itself as well: a full disk must keep nobody from working."""
    from byway.agent.launch import write_record
    from byway.app.tenure import control_plane_record

    try:
        write_record(str(control_plane_record(Path(state))), role)
    except OSError as error:
        print(f"byway {role}: goes on without its record: {_words(error)}", file=sys.stderr)  # noqa: T201


def _complaint(role: str, error: BaseException) -> int:
    print(f"byway {role}: {_words(error)}", file=sys.stderr)  # noqa: T201 - into this process's own log
    return 1


def _is_told_plainly(error: BaseException) -> bool:
    return isinstance(error, BywayError) or (isinstance(error, OSError) and error.errno in _DISK_FAULTS)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
        return f"{error.filename or 'the disk'}: {error.strerror} (free or mend the disk that the state is on)"
    return str(error)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
