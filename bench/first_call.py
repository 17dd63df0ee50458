"""The first call of an edge: what it waits for discovery on demand where the workload has never made it, and what is left of
that where it has, and its sidecar has just started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Final

from bench import caller
from bench.mesh import BenchMesh
from bench.process import output, wait
from bench.result import Goal, Result, Sample

_GOAL: Final = Goal(15)
_LIMIT_S: Final = 60.0
_N_WARM: Final = 5
_ON_DEMAND: Final = "byway_xds_on_demand_total"


def edges(mesh: BenchMesh, workload: str, services: tuple[str, ...]) -> tuple[float, ...]:
    """For each service the milliseconds that the first call took more than the median of those after it."""
    urls = [f"http://{service}:8080/version" for service in services]
    command = (*mesh.entered(workload), sys.executable, caller.__file__, str(1 + _N_WARM), *urls)
    seconds: list[list[float]] = json.loads(output(command, _LIMIT_S))
    return tuple(1000 * (first - Sample.of(warm).median) for first, *warm in seconds)


def restart(mesh: BenchMesh, instance: str) -> None:
    """Kills the instance's Envoy, and waits until another one is ready."""
    before = mesh.envoy(instance)
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        found = next(proxy for proxy in mesh.json("/api/status")["proxies"] if proxy["instance"] == instance)
        return bool(found["envoy_state"] == "ready" and found["in_sync"]) and mesh.envoy(instance) != before

    wait(is_back, _LIMIT_S, f"another Envoy beside {instance}")


def known(mesh: BenchMesh, workload: str, services: tuple[str, ...]) -> Result:
    """The figure of edges that were called before, by a sidecar that has just started, with how many names were asked for."""
    restart(mesh, f"{workload}-1")
    before = mesh.metric(_ON_DEMAND)
    sample = Sample.of(edges(mesh, workload, services))
    n_asked = mesh.metric(_ON_DEMAND) - before
    return Result(
        name="first_call_known_added_ms",
        value=round(sample.median, 1),
        unit="ms",
        how="as above, for the same edges after the sidecar was killed and is ready again; what is left is the first connection",
        detail=f"edges {sample.spread}; {n_asked:.0f} names asked for on demand",
        group="First call",
    )


def result(added: tuple[float, ...]) -> Result:
    """The figure."""
    sample = Sample.of(added)
    return Result(
        name="first_call_added_ms",
        value=round(sample.median, 1),
        unit="ms",
        goal=_GOAL,
        how=f"first call less the median of {_N_WARM} later ones, each on a new connection; median over {len(added)} edges",
        detail=f"edges {sample.spread}",
        group="First call",
    )
