"""Drawing: what a mesh file means, for a control plane and an agent that somebody starts by hand.

The plan goes to the agent's state directory; the resources are for `byway apply`, at any control plane of the mesh.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from byway.agent.interception import network
from byway.agent.layout import Layout, write_whole
from byway.agent.plan import plan_json, read_plan
from byway.app import machine, preflight
from byway.app.blueprint import Setting, blueprint
from byway.app.client import documents_yaml
from byway.app.meshfile import description
from byway.app.preflight import MeshFileError
from byway.app.state import default_state
from byway.authority.private_files import private_directory
from byway.base.diagnostics import Diagnostic
from byway.base.errors import FaultError, UsageError


def drawn(file: str, state: str, proxy: str) -> str:
    """Writes the plan of the mesh in `file` into `state` ("": the mesh's usual one); the resources as YAML.

    What a former plan there gave an instance, it keeps. Raises `MeshFileError` with a line for each mistake.
    """
    path = Path(file)
    try:
        described = description(path.read_bytes(), file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror} (name the mesh's file with -f)") from error
    if described.value is None:
        raise _wrong(described.diagnostics)
    mesh = described.value.file.mesh
    folder = Path(state).expanduser().absolute() if state else default_state(mesh)
    preflight.check_state(folder)
    layout = Layout(folder)
    found = blueprint(described.value, _setting(path, layout, proxy), machine.free_ports())
    if found.value is None:
        raise _wrong(found.diagnostics)
    plan = found.value.plan
    named = msgspec.structs.replace(plan.network, name=machine.network_name(mesh, folder))
    private_directory(folder)
    write_whole(layout.plan, plan_json(msgspec.structs.replace(plan, network=named)))
    return documents_yaml(found.value.documents)


def _setting(path: Path, layout: Layout, proxy: str) -> Setting:
    interception = machine.interception(proxy)
    previous = read_plan(layout.plan) if layout.plan.exists() else None
    subnet = ""
    if interception == "iptables":
        subnet = (previous.network.subnet if previous is not None else "") or network.unused_subnet() or ""
        if not subnet:
            raise FaultError("no free network for the mesh (every candidate is routed already)")
    return Setting(
        node=machine.node_name(),
        interception=interception,
        folder=str(path.parent.resolve()),
        python=sys.executable,
        subnet=subnet,
        uid=machine.invoking("SUDO_UID"),
        gid=machine.invoking("SUDO_GID"),
        env=machine.application_environment(),
        previous=previous,
    )


def _wrong(diagnostics: tuple[Diagnostic, ...]) -> MeshFileError:
    return MeshFileError("\n".join(str(diagnostic) for diagnostic in diagnostics))
