"""What a real sidecar's memory does while the mesh grows: the same workload's Envoy, lazy and then eager.

A mesh of two workloads is run by `byway up` over a store that already holds the generated mesh, so the control plane, the
agent and both Envoys are the usual ones. Five services lead to the one server; all others are only there. The caller's Envoy is
killed and started again for each reading, calls the five, and is read when its memory has come to rest.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from bench import caller, growth, server
from bench.mesh import BenchMesh, mesh_name, running_mesh
from bench.process import BenchFailed, age_s, output, private_mb, wait
from bench.result import Curve, Goal, Result, Sample, figure
from bench.scope import Progress, Scope
from byway.model.names import ANNOTATION_DISCOVERY
from byway.sources.source import Put
from byway.sources.store import StoreSource
from byway.testing.generated_mesh import GeneratedMesh
from byway.testing.population import Size

Mode = Literal["lazy", "eager"]
MODES: Final[tuple[Mode, ...]] = ("lazy", "eager")
CALLED: Final = tuple(f"called-{n}" for n in range(1, 6))
_CALLER: Final = "caller-1"
_N_OWN: Final = len(CALLED) + 2
"""Services that are not generated: those that are called, the server's own, and the caller's."""
_ENDPOINTS_EACH: Final = 2
_FEW: Final = 15
"""Clusters that a lazy sidecar has at most: those that are called, its own, the agent's."""
_LARGE: Final = 10_000
_MOST_EAGER: Final = 5_000
"""With 10,000 services an eager Envoy exceeds the heap that an agent grants it (512 MB), and answers 503."""
_START_S: Final = 120.0
_REST_S: Final = 60.0
_STILL_S: Final = 2.0
_STILL_MB: Final = 0.1
_LIMIT_S: Final = 60.0


class Reading(msgspec.Struct, frozen=True):
    """One life of the caller's Envoy: its memory after five calls, the time until it served, and how many clusters it held."""

    private_mb: float
    start_s: float
    n_clusters: int


Grown = dict[tuple[int, Mode], list[Reading]]


def results(scope: Scope, envoy: Path, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Measures every size in both modes."""
    grown: Grown = {}
    for n in scope.sidecar_sizes:
        place = folder / f"sidecars-{n}"
        place.mkdir()
        (place / "state").mkdir(mode=0o700)
        asyncio.run(_store(place / "state" / "store.sqlite", n - _N_OWN))
        progress.say(f"sidecars: a real mesh of two workloads among {n:,} services")
        with running_mesh(_described(envoy, place), place) as mesh:
            for mode in MODES[: 2 if n <= _MOST_EAGER else 1]:
                _become(mesh, mode)
                grown[n, mode] = [_reading(mesh, mode, n) for _ in range(scope.n_sidecar_starts)]
                told = Sample.of([reading.private_mb for reading in grown[n, mode]])
                progress.say(f"sidecars: {mode}, {n:,} services: {figure(told.median)} MB")
    return figures(grown)


def figures(grown: Grown) -> tuple[Result, ...]:
    """What the readings say: the growth of both modes, and how long a start takes."""
    is_large = max(n for n, _ in grown) >= _LARGE
    lazy = _growth(grown, "lazy", "sidecar_memory_growth", Goal(5) if is_large else None)
    curve = Curve(
        title="Private memory of a sidecar that calls 5 services",
        unit="MB",
        x_axis="services in the mesh",
        x=tuple(f"{n:,}" for n in _sizes(grown, "lazy")),
        lines={mode: tuple(round(_memory(grown, mode, n).median, 1) for n in _sizes(grown, mode)) for mode in MODES},
    )
    eager = _growth(grown, "eager", "sidecar_memory_growth_eager", None)
    return (msgspec.structs.replace(lazy, curve=curve), eager, *(_start(grown, mode) for mode in MODES))


def _sizes(grown: Grown, mode: Mode) -> list[int]:
    return sorted(n for n, one in grown if one == mode)


def _growth(grown: Grown, mode: Mode, name: str, goal: Goal | None) -> Result:
    sizes = _sizes(grown, mode)
    few, many = (_memory(grown, mode, n).median for n in (sizes[0], sizes[-1]))
    details = (f"{n:,}: {figure(_memory(grown, mode, n).median)} ({_memory(grown, mode, n).spread})" for n in sizes)
    n_clusters = grown[sizes[-1], mode][-1].n_clusters
    is_cut = sizes[-1] < max(n for n, _ in grown)
    more = "; more would exceed the heap of 512 MB that an agent grants an Envoy" if is_cut else ""
    return Result(
        name=name,
        value=round(100 * (many - few) / few, 1),
        unit="%",
        goal=goal,
        how=f"RssAnon of a real Envoy in a mesh run by `byway up`, {mode} discovery, after calls to 5 services; mesh of "
        f"{sizes[0]:,} → {sizes[-1]:,} services, {_ENDPOINTS_EACH} instances each; median of {len(grown[sizes[0], mode])} starts",
        detail=f"MB (lowest to highest) by services: {'; '.join(details)}; {n_clusters:,} clusters in the largest{more}",
        group=growth.GROUP,
    )


def _start(grown: Grown, mode: Mode) -> Result:
    few, *_, many = _sizes(grown, mode)
    what = "" if mode == "lazy" else " and holds all clusters"
    small, large = (Sample.of([reading.start_s for reading in grown[n, mode]]) for n in (few, many))
    return Result(
        name=f"sidecar_start_s_{mode}",
        value=round(large.median, 2),
        unit="s",
        how=f"Envoy process start until it serves{what}, {mode} discovery, {many:,} services; median of the starts",
        detail=f"{figure(small.median)} s with {few:,} services; starts {large.spread}",
        group=growth.GROUP,
    )


def _memory(grown: Grown, mode: Mode, n: int) -> Sample:
    return Sample.of([reading.private_mb for reading in grown[n, mode]])


async def _store(path: Path, n_services: int) -> None:
    source = await StoreSource.open(path)
    mesh = GeneratedMesh(Size(n_services=n_services, n_endpoints=_ENDPOINTS_EACH * n_services))
    await source.commit([Put(resource.document) for resource in mesh.resources()])
    await source.close()


def _described(envoy: Path, folder: Path) -> Path:
    """The mesh file: a caller, and a server that five more services lead to."""
    command = server.command(envoy, server.write_config(folder / "server.json"))
    services = {
        "caller": {"command": ["sleep", "infinity"]},
        "server": {"port": server.PORT, "command": list(command)},
    }
    called = [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": server.PORT}]},
        }
        for name in CALLED
    ]  # fmt: skip
    (folder / "called.yaml").write_text(yaml.safe_dump_all(called))
    file = folder / "mesh.yaml"
    described = {"mesh": mesh_name("sidecars"), "services": services, "resources": ["called.yaml"]}
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    return file


def _become(mesh: BenchMesh, mode: Mode) -> None:
    """The caller's sidecar is to be lazy or eager from now on."""
    entries = mesh.json("/api/resources/WorkloadEntry?namespace=default")["items"]
    entry = next(body for body in entries if body["metadata"]["name"] == _CALLER)
    entry["metadata"].setdefault("annotations", {})[ANNOTATION_DISCOVERY] = mode
    mesh.apply(yaml.safe_dump(entry))


def _reading(mesh: BenchMesh, mode: Mode, n_services: int) -> Reading:
    before = mesh.envoy(_CALLER)
    os.kill(before, signal.SIGKILL)
    n_least = 0 if mode == "lazy" else n_services
    wait(lambda: _is_back(mesh, before, n_least), _START_S, f"another Envoy beside {_CALLER}")
    start_s = age_s(mesh.envoy(_CALLER))
    wait(lambda: _is_in_sync(mesh), _START_S, f"an Envoy beside {_CALLER} that is in sync")
    urls = [f"http://{name}:{server.PORT}/" for name in CALLED]
    output((*mesh.entered("caller"), sys.executable, caller.__file__, "3", *urls), _LIMIT_S)
    n_clusters = mesh.n_clusters(_CALLER)
    if (n_clusters > _FEW) if mode == "lazy" else (n_clusters < n_services):
        raise BenchFailed(f"a {mode} sidecar holds {n_clusters} clusters of {n_services} services")
    return Reading(_at_rest(mesh.envoy(_CALLER)), start_s, n_clusters)


def _is_back(mesh: BenchMesh, before: int, n_clusters: int) -> bool:
    """Asked of Envoy itself: what the agent has said of it may be of its predecessor, and a large mesh is long in telling."""
    return mesh.envoy(_CALLER) != before and mesh.is_live(_CALLER) and mesh.n_clusters(_CALLER) >= n_clusters


def _is_in_sync(mesh: BenchMesh) -> bool:
    found = next(proxy for proxy in mesh.json("/api/status")["proxies"] if proxy["instance"] == _CALLER)
    return bool(found["connected"] and found["in_sync"])


def _at_rest(pid: int) -> float:
    """The private memory once it has not moved for a while."""
    last, since = private_mb(pid), time.monotonic()

    def is_still() -> bool:
        nonlocal last, since
        now = private_mb(pid)
        if abs(now - last) > _STILL_MB:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= _STILL_S

    wait(is_still, _REST_S, f"an Envoy whose memory is at rest ({last:.1f} MB)")
    return private_mb(pid)
