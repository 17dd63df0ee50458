"""The prover: what it adds to a structural change, that endpoints never wait for it, and that it stays small.

The real control plane with the real prover (a resident Envoy) over a generated mesh, a fake proxy beside each of 20 services.
Each size is measured in a process of its own, `python -m bench.prover N_SERVICES N_CHANGES`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Final

import msgspec

from bench.plane import Plane
from bench.process import output, private_mb
from bench.result import Goal, Result, Sample, figure
from bench.scope import Progress, Scope
from byway.ads.prover import EnvoyProver, Finding
from byway.agent.binary import envoy_binary
from byway.kinds.resource import Resource
from byway.testing.fleet import Fleet, posts
from byway.testing.generated_mesh import GeneratedMesh, entry, routes, subsets
from byway.testing.population import TEAM, Size, instances_of
from byway.xds.resource import Resource as Proved

GROUP: Final = "The prover"
_SIZES: Final = (100, 1_000, 10_000)
_COMPARED: Final = 1_000
_ENDPOINTS_EACH: Final = 10
_N_CHANGES: Final = 40
_PAUSE_S: Final = 0.05
_LIMIT_S: Final = 240.0
_ADDED: Final = Goal(10)
_WARM: Final = 3
"""Changes at the beginning that start Envoy and do not count."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One size: what proofs took in milliseconds, by kind of change; proofs of endpoints; the prover's memory in MB."""

    added_ms: dict[str, list[float]]
    n_resources: dict[str, list[int]]
    n_endpoint_changes: int
    n_endpoint_proofs: int
    early_mb: float
    last_mb: float


class _Watched:
    """A prover of which is known what it was asked and how long that took."""

    def __init__(self, prover: EnvoyProver) -> None:
        self.prover = prover
        self.asked: list[int] = []
        self.took_ms: list[float] = []

    async def prove(self, resources: Sequence[Proved], /) -> Sequence[Finding]:
        began = time.perf_counter()
        try:
            return await self.prover.prove(resources)
        finally:
            self.took_ms.append((time.perf_counter() - began) * 1000)
            self.asked.append(len(resources))


def results(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """All figures, from three sizes of a mesh."""
    del scope
    measured: dict[int, Measured] = {}
    for n in _SIZES:
        progress.say(f"prover: {_N_CHANGES} changes of each kind in a mesh of {n:,} services")
        command = (sys.executable, "-m", "bench.prover", str(n), str(_N_CHANGES))
        text = output(command, _LIMIT_S, env={**os.environ, "GRPC_VERBOSITY": "NONE"})
        measured[n] = msgspec.json.decode(text.splitlines()[-1], type=Measured)
    return (*_added(measured), _endpoints(measured), _memory(measured))


def _added(measured: dict[int, Measured]) -> tuple[Result, Result]:
    one = measured[_COMPARED]
    together = Sample.of([ms for times in one.added_ms.values() for ms in times])
    kinds = "; ".join(
        f"{kind}: {figure(Sample.of(times).median)} ms ({Sample.of(times).spread}), "
        f"{figure(Sample.of([float(n) for n in one.n_resources[kind]]).median)} resources"
        for kind, times in one.added_ms.items()
    )
    sizes = ", ".join(
        f"{size:,} services: {figure(Sample.of([ms for times in m.added_ms.values() for ms in times]).median)} ms"
        for size, m in measured.items()
    )
    n = len(together.values)
    how = f"an apply waits for Envoy's proof of one changed object, mesh of {_COMPARED:,} services; {n} changes"
    return (
        _figure("prover_added_ms", together.median, "ms", f"median; {how}", f"{kinds}; medians at {sizes}", _ADDED),
        _figure("prover_added_worst_ms", max(together.values), "ms", f"the longest; {how}", together.spread),
    )


def _endpoints(measured: dict[int, Measured]) -> Result:
    n = sum(one.n_endpoint_changes for one in measured.values())
    proofs = sum(one.n_endpoint_proofs for one in measured.values())
    return _figure("endpoint_proofs", proofs, "proofs", f"asked of the prover in {n} changes of endpoints", "", Goal(0))


def _memory(measured: dict[int, Measured]) -> Result:
    few, many = measured[_SIZES[0]], measured[_SIZES[-1]]
    growth = 100 * (many.last_mb - few.last_mb) / few.last_mb
    told = ", ".join(f"{n:,} services: {m.early_mb:.1f} → {m.last_mb:.1f} MB" for n, m in measured.items())
    how = f"private memory of the prover's Envoy after all changes, mesh of {_SIZES[0]} → {_SIZES[-1]:,} services"
    return _figure(
        "prover_memory_growth", growth, "%", how, f"after the first changes → after the last: {told}", Goal(5)
    )


def _figure(name: str, value: float, unit: str, how: str, detail: str, goal: Goal | None = None) -> Result:
    return Result(name=name, value=round(value, 2), unit=unit, goal=goal, how=how, detail=detail, group=GROUP)


async def measured(n_services: int, n_changes: int) -> Measured:
    """Measures one size, in this process."""
    mesh = GeneratedMesh(Size(n_services=n_services, n_endpoints=_ENDPOINTS_EACH * n_services))
    async with EnvoyProver(envoy_binary("", os.environ)) as prover:
        watched = _Watched(prover)
        plane = Plane(mesh.resources(), prover=watched)
        async with plane.serving() as target:
            fleet = Fleet(target, islice(posts(mesh.population), TEAM))
            await fleet.connect()
            try:
                return await _changes(plane, mesh, watched, n_changes)
            finally:
                await fleet.disconnect()


async def _changes(plane: Plane, mesh: GeneratedMesh, watched: _Watched, n_changes: int) -> Measured:
    service = next(s for s in mesh.population.services if s.name == "ledger")
    instance = next(instances_of(service))
    added: dict[str, list[float]] = {"VirtualService": [], "DestinationRule": [], "AuthorizationPolicy": []}
    n_resources: dict[str, list[int]] = {kind: [] for kind in added}
    early_mb, n_endpoint_proofs = 0.0, 0
    for n in range(n_changes + _WARM):
        made: dict[str, Resource] = {
            "VirtualService": routes(service, share=1 + n % 90),
            "DestinationRule": subsets(service, n_errors=1 + n),
            "AuthorizationPolicy": mesh.access(service, path=f"/secret-{n}"),
        }
        for kind, resource in made.items():
            took_ms, asked = await _write(plane, watched, resource)
            if n >= _WARM:
                added[kind].append(sum(took_ms))
                n_resources[kind].append(sum(asked))
        _, asked = await _write(plane, watched, entry(instance, service, weight=2 + n))
        n_endpoint_proofs += len(asked)
        if n == _WARM:
            early_mb = _memory_mb(watched)
    return Measured(
        added_ms=added,
        n_resources=n_resources,
        n_endpoint_changes=n_changes + _WARM,
        n_endpoint_proofs=n_endpoint_proofs,
        early_mb=early_mb,
        last_mb=_memory_mb(watched),
    )


async def _write(plane: Plane, watched: _Watched, resource: Resource) -> tuple[list[float], list[int]]:
    """Applies one object; what its proofs took, and of how many resources they were."""
    await asyncio.sleep(_PAUSE_S)
    watched.took_ms.clear()
    watched.asked.clear()
    await plane.write(resource)
    return list(watched.took_ms), list(watched.asked)


def _memory_mb(watched: _Watched) -> float:
    return private_mb(watched.prover.pid) if watched.prover.pid is not None else 0.0


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(measured(int(sys.argv[1]), int(sys.argv[2])))) + b"\n")
