"""`byway agent`: this host's agent alone."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.app.settings import AgentSettings
from byway.app.state import default_state
from byway.cli.demo import CertificateLife
from byway.cli.options import Envoy, State
from byway.cli.serve import Mesh
from byway.cli.values import address, seconds


def command(
    *,
    mesh: Mesh = "default",
    state: State = None,
    envoy: Envoy = None,
    xds: Annotated[
        str,
        Parameter(
            help="The control plane's xDS and CSR address (HOST:PORT). Of several, with commas between, one is used, and "
            "where that cannot be reached, the next."
        ),
    ] = "127.0.0.1:15012",
    certificate_life: CertificateLife = "24h",
) -> int:
    """Run this host's agent alone, until it is told to stop.

    It runs what `plan.json` in the state directory names. When it stops, applications and Envoys go on; a restarted
    agent adopts them.
    """
    settings = AgentSettings(
        mesh=mesh,
        state=state or str(default_state(mesh)),
        envoy=envoy or "",
        control_plane=",".join(address("--xds", one.strip()) for one in xds.split(",")),
        certificate_life_s=seconds("--certificate-life", certificate_life),
    )
    from byway.app.host import run_agent

    return run_agent(settings)
