"""`byway check`: this machine, then the mesh that runs on it, with how to mend what is wrong."""

from __future__ import annotations

from pathlib import Path

from byway.admin.port import VersionReport
from byway.app.state import default_state
from byway.base.clock import SystemClock
from byway.base.errors import BywayError
from byway.cli.checkup import Check, checkup_text
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.installation import installation_checks
from byway.cli.mesh_health import GROUP, mesh_checks
from byway.cli.options import Envoy, Output, Server, State
from byway.cli.output import show
from byway.cli.progress import Progress
from byway.model.names import PORT_ADMIN, PORT_XDS

PORTS = {
    "control plane": ("127.0.0.1", PORT_ADMIN),
    "xDS": ("127.0.0.1", PORT_XDS),
    "ingress of the demo": ("127.0.0.1", 8080),
}


def command(*, output: Output = "table", server: Server = None, state: State = None, envoy: Envoy = None) -> int:
    """Check this machine and the running mesh, and say how to mend what is wrong.

    √ is well, ‼ works but is worth a look, × must be mended. Exits with 1 where there is a ×. Most things about
    this machine can only be tried as root.
    """
    control_plane = ControlPlane(server, state)
    folder = Path(state).expanduser() if state else default_state("demo")
    with Progress("checking"):
        running = _running(control_plane)
        is_running = isinstance(running, VersionReport)
        checks = list(installation_checks(envoy, folder, PORTS, is_running=is_running))
        if isinstance(running, VersionReport):
            checks += mesh_checks(control_plane, running, SystemClock().now())
        else:
            checks.append(Check(group=GROUP, verdict="warning", finding="no mesh to look at", mend=running))
    show(checks, output, lambda: checkup_text(checks))
    return int(any(check.verdict == "failed" for check in checks))


def _running(control_plane: ControlPlane) -> VersionReport | str:
    try:
        return understood(control_plane.answer("/api/version"), VersionReport)
    except BywayError as error:
        return str(error)
