"""What would keep a local mesh from starting, found before anything of it is made; each in one line that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from byway.agent import surroundings
from byway.agent.binary import envoy_binary
from byway.agent.interception import commands
from byway.agent.launch import program_path
from byway.agent.plan import Plan, WorkloadPlan
from byway.app.listening import holder, is_forbidden, is_free
from byway.app.meshfile import Description
from byway.app.serving import address_parts
from byway.app.settings import LocalSettings
from byway.base.errors import FaultError, UsageError
from byway.kinds.path import child
from byway.model.names import LABEL_APP

_LEAST_FREE_BYTES: Final = 64 * 1024 * 1024
_VERSION_LIMIT_S: Final = 10.0


class MeshFileError(UsageError):
    """The mesh file asks for what is not there; the message begins with the place."""


def check_state(state: Path) -> None:
    """The state directory can be made and written, and has room."""
    try:
        there = next(folder for folder in (state, *state.parents) if folder.exists())
    except OSError as error:
        raise UsageError(f"{state} cannot be reached: {error.strerror} (name another one with --state)") from error
    if not there.is_dir():
        raise UsageError(f"{there} is no directory (name another one with --state)")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{there} cannot be written by this user (name another directory with --state, or use sudo)")
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE_BYTES:
        raise FaultError(
            f"only {free // 1_000_000} MB are free for {state}, the mesh needs {_LEAST_FREE_BYTES // 1_000_000} MB "
            "(make room, or name a directory on another disk with --state)"
        )


def check_envoy(named: str) -> None:
    """There is an Envoy, and it runs on this machine."""
    binary = envoy_binary(named, os.environ)
    try:
        done = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False
        )
        said = done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if " version: " not in said:
        words = " ".join(said.split())[:200] or "nothing"
        raise FaultError(
            f"{binary} is no Envoy that runs here: `--version` says {words} (name another by --envoy or $BYWAY_ENVOY)"
        )


def check_network_tools() -> None:
    """What interception is made with is installed."""
    missing = commands.missing_packages()
    if missing:
        raise FaultError(
            f"traffic cannot be intercepted without {' and '.join(missing)} "
            f"(apt-get install {' '.join(missing)}, or choose --proxy explicit)"
        )


def check_ports(settings: LocalSettings, description: Description) -> None:
    """Nobody listens where the control plane and the gateways are going to, and this user may."""
    wanted = [("--admin", settings.admin), ("--xds", settings.xds)]
    wanted += [
        ("--ingress" if settings.ingress else f"gateways.{name}.listen", gateway.listen)
        for name, gateway in description.file.gateways.items()
    ]
    for by, address in wanted:
        if is_forbidden(*address_parts(address)):
            raise UsageError(f"cannot listen: {address} is for root only (use sudo, or choose another by {by})")
    taken = [
        f"{address} is held by {_holder(address)} (choose another by {by})" for by, address in wanted if _taken(address)
    ]
    if taken:
        raise FaultError(f"cannot listen: {', '.join(taken)}; or stop what holds it")


def check_programs(plan: Plan, description: Description) -> None:
    """Every program that the mesh file names is there."""
    lines = [line for workload in plan.workloads if (line := _absence(workload, description))]
    if lines:
        raise MeshFileError("\n".join(dict.fromkeys(lines)))


def _absence(workload: WorkloadPlan, description: Description) -> str:
    if not workload.command:
        return ""
    place = description.document.position(child("services", workload.labels.get(LABEL_APP, "")) + ".command")
    if not Path(workload.cwd).is_dir():
        return f"{place}: there is no folder {workload.cwd} to run {workload.command[0]} in (mend `cwd`)"
    path = program_path(workload.command[0], _search(workload), workload.cwd)
    if not Path(path).is_file():
        return f"{place}: there is no program {workload.command[0]} (install it, or write its path, seen from `cwd`)"
    if not os.access(path, os.X_OK):
        return f"{place}: {path} is no program that can be run (chmod +x {path})"
    return ""


def _search(workload: WorkloadPlan) -> str:
    return workload.env.get("PATH", surroundings.PATH)


def _taken(address: str) -> bool:
    return not is_free(*address_parts(address))


def _holder(address: str) -> str:
    return holder(address_parts(address)[1]) or "a process of another user"
