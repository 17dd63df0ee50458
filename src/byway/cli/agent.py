"""`byway agent`: this host's agent alone."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.cli.launch import address, launched
from byway.cli.options import Envoy, State
from byway.cli.serve import Mesh
from byway.cli.state import default_state


def command(
    *,
    mesh: Mesh = "default",
    state: State = None,
    envoy: Envoy = None,
    xds: Annotated[str, Parameter(help="The control plane's xDS and CSR address (HOST:PORT).")] = "127.0.0.1:15012",
) -> int:
    """Run this host's agent alone, until it is told to stop.

    It runs what `plan.json` in the state directory names. When it stops, applications and Envoys go on; a restarted
    agent adopts them.
    """
    return launched(
        "host",
        "run_agent",
        "AgentSettings",
        mesh=mesh,
        state=state or str(default_state(mesh)),
        envoy=envoy or "",
        control_plane=address("--xds", xds),
    )
