"""The first call of an edge that its sidecar does not know: what it waits for discovery on demand."""

from __future__ import annotations

import json
import sys
from typing import Final

from bench import caller
from bench.mesh import BenchMesh
from bench.process import output
from bench.result import Goal, Result, Sample

_GOAL: Final = Goal(15)
_LIMIT_S: Final = 60.0
_N_WARM: Final = 5


def edges(mesh: BenchMesh, workload: str, services: tuple[str, ...]) -> tuple[float, ...]:
    """For each service the milliseconds that the first call took more than the median of those after it."""
    urls = [f"http://{service}:8080/version" for service in services]
    command = (*mesh.entered(workload), sys.executable, caller.__file__, str(1 + _N_WARM), *urls)
    seconds: list[list[float]] = json.loads(output(command, _LIMIT_S))
    return tuple(1000 * (first - Sample.of(warm).median) for first, *warm in seconds)


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
