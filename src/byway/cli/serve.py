"""`byway serve`: the control plane alone."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.cli.demo import AdminAddress, CertificateLife, XdsAddress
from byway.cli.launch import address, launched, seconds
from byway.cli.options import Envoy, State
from byway.cli.state import default_state

Mesh = Annotated[str, Parameter(help="The mesh's name; it decides the state directory where --state does not.")]


def command(
    *,
    mesh: Mesh = "default",
    state: State = None,
    envoy: Envoy = None,
    admin: AdminAddress = "127.0.0.1:15014",
    xds: XdsAddress = "127.0.0.1:15012",
    certificate_life: CertificateLife = "24h",
) -> int:
    """Run the control plane alone, until it is told to stop."""
    return launched(
        "control_plane",
        "run_control_plane",
        "ControlPlaneSettings",
        mesh=mesh,
        state=state or str(default_state(mesh)),
        envoy=envoy or "",
        admin=address("--admin", admin),
        xds=address("--xds", xds),
        certificate_life_s=seconds("--certificate-life", certificate_life),
    )
