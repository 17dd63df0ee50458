"""The entry of supervised processes: `python -m byway.app.entry control-plane|agent SETTINGS-AS-JSON`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec

from byway.app.settings import AgentSettings, ControlPlaneSettings
from byway.base.errors import BywayError


def main(arguments: list[str]) -> int:
    """Runs one process of the mesh; returns its exit code."""
    role, settings = arguments
    try:
        if role == "control-plane":
            from byway.agent.launch import write_record
            from byway.app.control_plane import run_control_plane
            from byway.app.tenure import control_plane_record

            decoded = msgspec.json.decode(settings, type=ControlPlaneSettings)
            write_record(str(control_plane_record(Path(decoded.state))), role)
            return run_control_plane(decoded)
        from byway.app.host import run_agent

        return run_agent(msgspec.json.decode(settings, type=AgentSettings))
    except BywayError as error:
        return _complaint(role, error)
    except BaseExceptionGroup as group:
        if group.subgroup(BywayError) is None:
            traceback.print_exception(group)
        own = sorted(_leaves(group), key=lambda error: not isinstance(error, BywayError))
        return _complaint(role, own[0])


def _complaint(role: str, error: BaseException) -> int:
    print(f"byway {role}: {error}", file=sys.stderr)  # noqa: T201 - into this process's own log
    return 1


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
