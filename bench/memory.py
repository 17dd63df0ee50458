"""Private memory of everything that a mesh runs: anonymous resident pages, without those of the binaries."""

from __future__ import annotations

from typing import Final

from bench.mesh import BenchMesh
from bench.process import private_mb
from bench.result import Goal, Result, Sample

GROUP: Final = "Private memory"
_SIDECAR: Final = Goal(18)
_CONTROL_PLANE: Final = Goal(120)


def sidecar(mesh: BenchMesh, workload: str) -> float:
    """The memory of a workload's Envoy now."""
    return private_mb(mesh.envoy(f"{workload}-1"))


def results(mesh: BenchMesh, idle: float, called: float) -> tuple[Result, ...]:
    """Everything that the mesh runs; the sidecar's two figures were taken before."""
    proxies = mesh.json("/api/status")["proxies"]
    fleet = Sample.of([private_mb(mesh.envoy(proxy["instance"])) for proxy in proxies])
    under_load = f"the demo's fleet of {len(proxies)} proxies, under load, RssAnon"
    return (
        _figure("sidecar_idle_mb", idle, "a sidecar that has called nothing, RssAnon", _SIDECAR),
        _figure("sidecar_called_5_mb", called, "the same sidecar after calls to five services", _SIDECAR),
        _figure("sidecar_fleet_mb", fleet.median, f"median of all; {under_load}", None, f"all {fleet.spread}"),
        _figure("control_plane_mb", private_mb(mesh.control_plane()), under_load, _CONTROL_PLANE),
        _figure("agent_mb", private_mb(mesh.agent()), f"one agent for all of {under_load}"),
        _figure(
            "prover_mb", private_mb(mesh.prover()), "the prover's Envoy after all the changes of this run, RssAnon"
        ),
        _figure("dns_mb", private_mb(mesh.dns()), f"one DNS server for {under_load}"),
    )


def _figure(name: str, value: float, how: str, goal: Goal | None = None, detail: str = "") -> Result:
    return Result(name=name, value=round(value, 1), unit="MB", goal=goal, how=how, detail=detail, group=GROUP)
