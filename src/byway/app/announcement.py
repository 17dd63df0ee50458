"""What a local mesh says on the terminal: what it does, that it is ready, what to try, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byway.agent.plan import Plan
from byway.app.meshfile import Description
from byway.app.settings import LocalSettings
from byway.demo import files

_LOST = (
    "Explicit proxying: applications are told of their proxy by http_proxy. Only their HTTP calls by name go through the\n"
    "mesh; TCP, DNS and calls to addresses do not, and nothing keeps a program from calling an application's own port\n"
    "past its sidecar. Run it as root to have all traffic intercepted."
)


def starting(mesh: str, n_workloads: int, interception: str) -> None:
    """The first words."""
    _say(f"Starting mesh {mesh}: {n_workloads} workload instances, each with its own Envoy and identity …")
    if interception == "explicit":
        _say(_LOST)


def ready(settings: LocalSettings, description: Description, plan: Plan, seconds: float) -> None:
    """Everything runs: where it is, and what to try next."""
    n_services = len(description.file.services)
    _say(f"\n{n_services}/{n_services} services are ready ({len(plan.workloads)} proxies) after {seconds:.0f} s.\n")
    for gateway in description.file.gateways.values():
        _say(f"  ingress         http://{gateway.listen}")
    _say(f"  control plane   http://{settings.admin}\n")
    _say("Try next, in a second terminal:\n")
    for command in _commands(settings, description):
        _say(f"  {command}")
    _say("\nCtrl-C ends the mesh and removes all that it made on this machine.")


def failed_start(state: Path, proxies: Sequence[dict[str, Any]]) -> None:
    """Not everything came up in time: what is missing, and where to look."""
    _say("\nNot everything became ready in time:")
    for proxy in proxies:
        if not (proxy.get("connected") and proxy.get("in_sync") and proxy.get("envoy_state") == "ready"):
            _say(
                f"  {proxy['instance']}: Envoy {proxy.get('envoy_state') or 'unknown'}, application "
                f"{proxy.get('app_state') or '-'}, {'in sync' if proxy.get('in_sync') else 'not in sync'} "
                f"{proxy.get('last_error', '')}"
            )
    _say(f"Logs are in {state} (control-plane.log, agent.log, run/<instance>/).")


def _commands(settings: LocalSettings, description: Description) -> list[str]:
    server = "" if settings.admin == "127.0.0.1:15014" else f" --server http://{settings.admin}"
    if settings.file:
        first = next(iter(description.file.services), "")
        return [
            f"byway {verb}{server}" for verb in ("status", "graph", "top", f"proxy-config {first} clusters", "traces")
        ]
    folder = files.RESOURCES
    return [
        f"byway status{server}",
        f"byway graph{server}",
        f"byway apply{server} -f {folder}/canary.yaml",
        "byway exec web -- curl -s http://link-service:8080/version",
        f"byway traces{server}",
    ]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is what the command shows
