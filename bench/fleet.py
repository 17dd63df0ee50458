"""What is measured on the demo's fleet: private memory, a first call, and what a change costs.

The fleet is the packaged one under its usual load, in a mesh of another name (so that a demo may run beside it), with
one workload more: an onlooker that calls nothing by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from bench import change, first_call, memory
from bench.mesh import BenchMesh, free_port, mesh_name, running_mesh
from bench.result import Result
from bench.scope import Progress, Scope
from byway.demo import files

ONLOOKER: Final = "onlooker"
_N_KNOWN: Final = 5


def results(scope: Scope, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Measures all of it on one fleet."""
    progress.say("fleet: starting the demo's services and an onlooker")
    with running_fleet(folder) as mesh:
        services = called_services()
        edges = services[:_N_KNOWN], services[_N_KNOWN : _N_KNOWN + scope.n_first_calls]
        progress.say("fleet: memory of a sidecar, idle, and after calling five services")
        idle = memory.sidecar(mesh, ONLOOKER)
        first = first_call.edges(mesh, ONLOOKER, edges[0])
        called = memory.sidecar(mesh, ONLOOKER)
        progress.say(f"fleet: first calls on {len(edges[1])} more edges")
        first += first_call.edges(mesh, ONLOOKER, edges[1])
        changes = change.results(mesh, scope, progress)
        progress.say("fleet: memory of control plane, agent, prover and DNS server")
        return (*memory.results(mesh, idle, called), *changes, first_call.result(first))


@contextlib.contextmanager
def running_fleet(folder: Path) -> Iterator[BenchMesh]:
    """The fleet, until all of it is ready and under load."""
    place = folder / "fleet"
    place.mkdir()
    with running_mesh(_described(place), place) as mesh:
        yield mesh


def called_services() -> tuple[str, ...]:
    """The services of the fleet, by name."""
    return tuple(sorted(yaml.safe_load(files.MESH.read_text())["services"]))


def _described(folder: Path) -> Path:
    """The packaged description with this run's own name and ingress, and the onlooker."""
    port = free_port()
    described = yaml.safe_load(files.MESH.read_text())
    described["mesh"] = mesh_name("fleet")
    described["services"][ONLOOKER] = {"command": ["sleep", "infinity"]}
    described["gateways"]["ingress"]["listen"] = f"127.0.0.1:{port}"
    described["load"]["url"] = f"http://127.0.0.1:{port}"
    (folder / "resources").mkdir()
    for name in described["resources"]:
        text = (files.MESH.parent / name).read_text().replace("number: 8080", f"number: {port}")
        (folder / name).write_text(text)
    file = folder / "mesh.yaml"
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    return file
