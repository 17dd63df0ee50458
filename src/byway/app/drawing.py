"""Drawing: what a mesh file means, for a control plane and an agent that somebody starts by hand.

The plan goes to the agent's state directory; the resources are for `byway apply`, at any control plane of the mesh.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from byway.agent.interception import network
from byway.agent.layout import Layout, write_whole
from byway.agent.plan import Plan, plan_json, read_plan
from byway.app import machine, preflight
from byway.app.blueprint import Blueprint, Setting, blueprint
from byway.app.client import documents_yaml
from byway.app.meshfile import Description, description
from byway.app.preflight import MeshFileError
from byway.app.state import default_state
from byway.authority.private_files import private_directory
from byway.base.diagnostics import Derived
from byway.base.errors import FaultError, UsageError

T = TypeVar("T")


class Ground(msgspec.Struct, frozen=True):
    """What a mesh's network is named, and its subnet; "" without interception."""

    name: str
    subnet: str


def drawn(file: str, state: str, proxy: str) -> str:
    """Writes the plan of the mesh in `file` into `state` ("": the mesh's usual one); the resources as YAML.

    What a former plan there gave an instance, it keeps. Raises `MeshFileError` with a line for each mistake.
    """
    path = Path(file)
    try:
        described = description(path.read_bytes(), file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror} (name the mesh's file with -f)") from error
    mesh = usable(described)
    folder = Path(state).expanduser().absolute() if state else default_state(mesh.file.mesh)
    preflight.check_state(folder)
    layout = Layout(folder)
    previous = read_plan(layout.plan) if layout.plan.exists() else None
    interception, subnet = machine.interception(proxy), ""
    if interception == "iptables":
        subnet = (previous.network.subnet if previous is not None else "") or network.unused_subnet() or ""
    name = machine.network_name(mesh.file.mesh, folder)
    found = drawing(mesh, path.parent, interception, Ground(name, subnet), previous)
    private_directory(folder)
    write_whole(layout.plan, plan_json(found.plan))
    return documents_yaml(found.documents)


def drawing(
    mesh: Description,
    folder: Path,
    interception: Literal["iptables", "explicit"],
    ground: Ground,
    previous: Plan | None = None,
) -> Blueprint:
    """The blueprint on this machine; `folder` is the mesh file's. Raises `MeshFileError`, and `FaultError` without a subnet."""
    if interception == "iptables" and not ground.subnet:
        raise FaultError("no free network for the mesh (every candidate is routed already)")
    setting = Setting(
        node=machine.node_name(),
        interception=interception,
        folder=str(folder.resolve()),
        python=sys.executable,
        subnet=ground.subnet,
        uid=machine.invoking("SUDO_UID"),
        gid=machine.invoking("SUDO_GID"),
        env=machine.application_environment(),
        previous=previous,
    )
    found = usable(blueprint(mesh, setting, machine.free_ports()))
    named = msgspec.structs.replace(found.plan.network, name=ground.name)
    return msgspec.structs.replace(found, plan=msgspec.structs.replace(found.plan, network=named))


def usable(derived: Derived[T | None]) -> T:
    """The value; raises `MeshFileError` with a line for each mistake where there is none."""
    if derived.value is None:
        raise MeshFileError("\n".join(str(diagnostic) for diagnostic in derived.diagnostics))
    return derived.value
