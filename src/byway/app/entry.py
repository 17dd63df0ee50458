"""The entry of supervised processes: `python -m byway.app.entry control-plane|agent SETTINGS-AS-JSON`."""

from __future__ import annotations

import sys

import msgspec

from byway.app.settings import AgentSettings, ControlPlaneSettings
from byway.base.errors import BywayError


def main(arguments: list[str]) -> int:
    """Runs one process of the mesh; returns its exit code."""
    role, settings = arguments
    try:
        if role == "control-plane":
            from byway.app.control_plane import run_control_plane

            return run_control_plane(msgspec.json.decode(settings, type=ControlPlaneSettings))
        from byway.app.host import run_agent

        return run_agent(msgspec.json.decode(settings, type=AgentSettings))
    except BywayError as error:
        print(f"byway {role}: {error}", file=sys.stderr)  # noqa: T201 - into this process's own log
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
