"""What grows with the mesh, and must not: the bytes that a starting sidecar is sent, and the work that a change makes.

The first teams of all generated meshes are alike, so the same sidecars and the same changes are compared. Each size is
measured in a process of its own, `python -m bench.growth N_SERVICES`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import islice
from typing import Final

import msgspec

from bench.plane import Plane
from bench.process import output
from bench.result import Curve, Goal, Result, figure
from bench.scope import Progress, Scope
from byway.testing.fleet import Fleet, posts
from byway.testing.generated_mesh import GeneratedMesh, entry, routes
from byway.testing.population import ENTRY, TEAM, Size, instances_of

GROUP: Final = "What grows with the mesh"
_START_SIZES: Final = (20, 10_000)
_WORK_SIZES: Final = (100, 1_000, 10_000)
_ENDPOINTS_EACH: Final = 10
_LIMIT_S: Final = 180.0
_PAUSE_S: Final = 0.3
_WHAT: Final = {"route": "one VirtualService", "endpoint": "one endpoint", "access": "one AuthorizationPolicy"}


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """One size: bytes to the starting sidecar, and for each change the queries that ran and the resources sent."""

    start_bytes: int
    n_start_resources: int
    work: dict[str, tuple[int, int]]


def results(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """Both figures."""
    del scope
    grown: dict[int, Grown] = {}
    for n in sorted({*_START_SIZES, *_WORK_SIZES}):
        progress.say(f"growth: a mesh of {n:,} services and {n * _ENDPOINTS_EACH:,} endpoints")
        text = output(
            (sys.executable, "-m", "bench.growth", str(n)), _LIMIT_S, env={**os.environ, "GRPC_VERBOSITY": "NONE"}
        )
        grown[n] = msgspec.json.decode(text.splitlines()[-1], type=Grown)
    return _start(grown), _work(grown)


def _start(grown: dict[int, Grown]) -> Result:
    few, many = (grown[n] for n in _START_SIZES)
    growth = 100 * (many.start_bytes - few.start_bytes) / few.start_bytes
    bytes_of = ", ".join(f"{n:,} services: {one.start_bytes:,} bytes" for n, one in grown.items())
    return Result(
        name="start_bytes_growth",
        value=round(growth, 1),
        unit="%",
        goal=Goal(5),
        how=f"responses to a fake proxy that starts and calls 5 services, mesh of {_START_SIZES[0]} → {_START_SIZES[1]:,}",
        detail=f"{bytes_of}; {many.n_start_resources} resources",
        group=GROUP,
        curve=Curve(
            title="Bytes sent to a starting sidecar that calls 5 services",
            unit="bytes",
            x_axis="services in the mesh",
            x=tuple(f"{n:,}" for n in grown),
            lines={"lazy": tuple(float(one.start_bytes) for one in grown.values())},
        ),
    )


def _work(grown: dict[int, Grown]) -> Result:
    apart = 0
    told = []
    for change, what in _WHAT.items():
        counts = [grown[n].work[change] for n in _WORK_SIZES]
        apart = max(apart, *(abs(a - b) for count in counts for a, b in zip(count, counts[0], strict=True)))
        told.append(
            f"{what}: " + ", ".join(f"{figure(q)} queries and {figure(s)} resources" for q, s in dict.fromkeys(counts))
        )
    sizes = ", ".join(f"{n:,}" for n in _WORK_SIZES)
    return Result(
        name="change_work_growth",
        value=apart,
        unit="queries or resources",
        goal=Goal(0),
        how=f"largest difference in queries run or resources sent for the same write, meshes of {sizes} services; "
        "an operator's write with analysis, proof (by a prover that takes all) and storage, "
        f"a proxy beside each of {TEAM} services",
        detail="; ".join(told),
        group=GROUP,
    )


async def grown(n_services: int) -> Grown:
    """Measures one size, in this process."""
    mesh = GeneratedMesh(Size(n_services=n_services, n_endpoints=_ENDPOINTS_EACH * n_services))
    plane = Plane(mesh.resources())
    async with plane.serving() as target:
        one = Fleet(target, [next(post for post in posts(mesh.population) if post.account == ENTRY)])
        await one.connect()
        start = one.received()
        await one.disconnect()
        fleet = Fleet(target, islice(posts(mesh.population), TEAM))
        await fleet.connect()
        work = await _changes(plane, mesh)
        await fleet.disconnect()
    return Grown(start_bytes=start.n_bytes, n_start_resources=start.n_resources, work=work)


async def _changes(plane: Plane, mesh: GeneratedMesh) -> dict[str, tuple[int, int]]:
    service = next(s for s in mesh.population.services if s.name == "ledger")
    instance = next(instances_of(service))
    found = {}
    for n in (1, 2):  # the first time it may be a creation
        made = {
            "route": routes(service, share=10 + n),
            "endpoint": entry(instance, service, weight=2 + n),
            "access": mesh.access(service, path=f"/secret-{n}"),
        }
        for change, resource in made.items():
            plane.tidy()
            await asyncio.sleep(_PAUSE_S)
            work = await plane.write(resource)
            found[change] = (work.n_queries, work.n_sent)
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(grown(int(sys.argv[1])))) + b"\n")
