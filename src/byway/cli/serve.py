"""`byway serve`: the control plane alone."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.app.settings import ControlPlaneSettings
from byway.app.state import default_state
from byway.cli.demo import AdminAddress, CertificateLife, XdsAddress
from byway.cli.options import Envoy, State
from byway.cli.values import address, seconds

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
    settings = ControlPlaneSettings(
        mesh=mesh,
        state=state or str(default_state(mesh)),
        envoy=envoy or "",
        admin=address("--admin", admin),
        xds=address("--xds", xds),
        certificate_life_s=seconds("--certificate-life", certificate_life),
    )
    from byway.app.control_plane import run_control_plane

    return run_control_plane(settings)
