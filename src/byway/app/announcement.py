"""What a local mesh says on the terminal: what it does, that it is ready, what to try, what went wrong."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from byway.agent.plan import Plan
from byway.app.meshfile import Description
from byway.app.readiness import Lack
from byway.app.settings import LocalSettings
from byway.app.state import default_state
from byway.base.wording import counted
from byway.demo import files

_LOST = (
    "Explicit proxying: applications are told of their proxy by http_proxy. Only their HTTP calls by name go through the\n"
    "mesh; TCP, DNS and calls to addresses do not, and nothing keeps a program from calling an application's own port\n"
    "past its sidecar. {remedy} to have all traffic intercepted."
)
_DEFAULT_ADMIN = "127.0.0.1:15014"
_MOST_NAMED = 6


def starting(mesh: str, plan: Plan, interception: str) -> None:
    """The first words."""
    n, n_envoys = len(plan.workloads), sum(workload.kind != "grpc" for workload in plan.workloads)
    own = (
        "each with its own Envoy and identity"
        if n == n_envoys
        else f"each with its own identity, {n_envoys} with Envoy"
    )
    _say(f"Starting mesh {mesh}: {n} workload instance{'' if n == 1 else 's'}, {own} …")
    if interception == "explicit":
        _say(_LOST.format(remedy="Run it as root" if os.geteuid() else "Run it without `--proxy explicit`"))


def waiting(lacks: Sequence[Lack], seconds: float) -> None:
    """What is still missing while it starts."""
    named = "; ".join(str(lack) for lack in lacks[:_MOST_NAMED])
    more = f"; and {len(lacks) - _MOST_NAMED} more" if len(lacks) > _MOST_NAMED else ""
    _say(f"  after {seconds:.0f} s still waiting for {len(lacks)}: {named}{more}")


def ready(
    settings: LocalSettings, description: Description, lacks: Sequence[Lack], state: Path, seconds: float
) -> None:
    """It runs: where it is, what is missing, and what to try next."""
    services = description.file.services
    n_ready = len(services) - len({lack.service for lack in lacks} & set(services))
    n_proxies = sum(v.instances for s in services.values() if s.proxy != "grpc" for v in s.all_versions.values())
    n_proxies += len(description.file.gateways)
    proxies = counted(n_proxies, "proxy", "proxies")
    _say(f"\n{n_ready}/{len(services)} services are ready ({proxies}) after {seconds:.0f} s.\n")
    for lack in lacks:
        _say(f"  missing         {lack} (its log: {state}/run/{lack.workload.instance}/app.log)")
    for gateway in description.file.gateways.values():
        _say(f"  ingress         http://{gateway.listen}")
    _say(f"  control plane   http://{settings.admin}\n")
    _say("Try next, in a second terminal:\n")
    for command in commands(settings, description, state, is_default=_is_default(state, settings, description)):
        _say(f"  {command}")
    _say("\nCtrl-C ends the mesh and removes all that it made on this machine.")


def changed(before: Iterable[Lack], now: Iterable[Lack], state: Path) -> None:
    """What has gone, and what has come back, while the mesh runs."""
    missing, present = ({lack.workload.instance: lack for lack in lacks} for lacks in (before, now))
    for instance in missing:
        if instance not in present:
            _say(f"{instance} is ready again")
    for instance, lack in present.items():
        if instance not in missing:
            _say(f"{lack} (its logs: {state}/run/{instance}/)")


def failed_start(state: Path, lacks: Sequence[Lack]) -> None:
    """Not everything came up in time: what is missing, and where to look."""
    _say("\nNot everything became ready in time:")
    for lack in lacks:
        _say(f"  {lack}")
    if not lacks:
        _say("  the control plane does not answer")
    _say(f"Logs are in {state} (control-plane.log, agent.log, logs/<instance>/).")


def ended(name: str, exit_code: int, pause_s: float) -> None:
    """A process of the mesh itself has ended and is started again."""
    how = f"was ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exited with {exit_code}"
    _say(f"the {name} {how} and is started again {f'in {pause_s:g} s' if pause_s else 'at once'}")


def back(name: str) -> None:
    """Such a process answers again."""
    _say(f"the {name} is back")


def kept(folder: Path) -> None:
    """Where the logs are that outlive the mesh."""
    _say(f"The logs of what failed are kept in {folder}.")


def commands(settings: LocalSettings, description: Description, state: Path, *, is_default: bool) -> list[str]:
    """Commands that work as they are printed, from the folder where the mesh was started."""
    program, as_owner = _program(), "sudo " if os.environ.get("SUDO_UID") and os.geteuid() == 0 else ""
    server = "" if settings.admin == _DEFAULT_ADMIN else f" --server http://{settings.admin}"
    owned = "" if is_default else f" --state {shlex.quote(str(state))}"
    first = next(iter(description.file.services), "")
    if settings.file:
        tried = [f"{as_owner}{program} exec{owned} {first} -- env", f"{program} proxy-config {first} clusters{server}"]
    else:
        canary = shlex.quote(_from_here(files.RESOURCES / "canary.yaml"))
        tried = [
            f"{as_owner}{program} apply{server}{owned} -f {canary}",
            f"{as_owner}{program} exec{owned} {first} -- curl -s http://link-service:8080/version",
        ]
        tried.append(f"{program} traces{server}")  # a mesh of one's own traces nothing unless it is told to
    return [f"{program} status{server}", f"{program} graph{server}", *tried]


def _is_default(state: Path, settings: LocalSettings, description: Description) -> bool:
    return state == default_state(settings.mesh or description.file.mesh)


def _program() -> str:
    """How `byway` is called from here: by its name where the shell finds this very one."""
    own = Path(sys.executable).with_name("byway")
    if not own.is_file():
        return f"{shlex.quote(sys.executable)} -m byway.cli.main"
    found = shutil.which("byway")
    return "byway" if found and Path(found).resolve() == own.resolve() else shlex.quote(_from_here(own))


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is what the command shows
