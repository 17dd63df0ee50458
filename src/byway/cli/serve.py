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

Store = Annotated[
    str | None,
    Parameter(
        name="--store",
        env_var="BYWAY_STORE",
        help="Where resources are kept for several control planes: postgresql://[USER@]HOST[:PORT]/DATABASE; without it, "
        "in the state directory. A password is read from PGPASSFILE or PGPASSWORD as well.",
        show_default=False,
    ),
]
Ca = Annotated[
    str | None,
    Parameter(
        name="--ca",
        help="The directory of the CA that all control planes of the mesh share, only read: root-key.pem and "
        "root-cert.pem as in the `ca` folder of a state directory, or Istio's cacerts (ca-key.pem, ca-cert.pem, "
        "cert-chain.pem, root-cert.pem); without it, `ca` in the state directory.",
    ),
]


def command(
    *,
    mesh: Mesh = "default",
    state: State = None,
    envoy: Envoy = None,
    admin: AdminAddress = "127.0.0.1:15014",
    xds: XdsAddress = "127.0.0.1:15012",
    certificate_life: CertificateLife = "24h",
    store: Store = None,
    ca: Ca = None,
) -> int:
    """Run the control plane alone, until it is told to stop.

    Several may run over one --store, on one host or many: they need the same --ca, and a state directory each.
    """
    settings = ControlPlaneSettings(
        mesh=mesh,
        state=state or str(default_state(mesh)),
        envoy=envoy or "",
        admin=address("--admin", admin),
        xds=address("--xds", xds),
        certificate_life_s=seconds("--certificate-life", certificate_life),
        store=store or "",
        ca=ca or "",
    )
    from byway.app.control_plane import run_control_plane

    return run_control_plane(settings)
