"""`byway version`: of this program, of the Envoy it would run, and of the control plane that answers."""

from __future__ import annotations

import msgspec

import byway
from byway.admin.port import VersionReport
from byway.base.errors import BywayError
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.envoy import envoy_version
from byway.cli.options import Envoy, Output, Server, State
from byway.cli.output import show


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed here, and what runs there (None where nothing answers)."""

    byway: str
    envoy: str
    control_plane: VersionReport | None


def command(*, output: Output = "table", server: Server = None, state: State = None, envoy: Envoy = None) -> int:
    """Show the versions of Byway, Envoy and the running control plane."""
    control_plane = ControlPlane(server, state)
    versions = Versions(byway=byway.__version__, envoy=_envoy(envoy), control_plane=_running(control_plane))
    show(versions, output, lambda: _lines(versions, control_plane.server))
    return 0


def _envoy(named: str | None) -> str:
    try:
        return envoy_version(named).version
    except BywayError as error:
        return f"unusable: {error}"


def _running(control_plane: ControlPlane) -> VersionReport | None:
    try:
        return understood(control_plane.answer("/api/version"), VersionReport)
    except BywayError:
        return None  # that none runs is an answer here; `byway check` asks for the reason


def _lines(versions: Versions, server: str) -> str:
    running = versions.control_plane
    there = (
        f"byway {running.byway}, envoy {running.envoy}, mesh {running.mesh or '-'}"
        if running
        else f"none answers at {server}"
    )
    return f"byway          {versions.byway}\nenvoy          {versions.envoy}\ncontrol plane  {there}"
