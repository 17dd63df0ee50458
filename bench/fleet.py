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
from bench.process import BenchFailed, wait
from bench.result import Result
from bench.scope import Progress, Scope
from byway.demo import files

ONLOOKER: Final = "onlooker"
_N_KNOWN: Final = 5
_WARM_S: Final = 60.0
_MOST_FAILURES: Final = 0.02


def results(scope: Scope, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Measures all of it on one fleet."""
    progress.say("fleet: starting the demo's services and an onlooker")
    with running_fleet(folder) as mesh:
        services = called_services()
        edges = services[:_N_KNOWN], services[_N_KNOWN : _N_KNOWN + scope.n_first_calls]
        wait(lambda: mesh.load_report().get("requests", 0) >= scope.n_warm_requests, _WARM_S, "a warm fleet")
        progress.say("fleet: memory of a sidecar, idle, and after calling five services")
        idle = memory.sidecar(mesh, ONLOOKER)
        first = first_call.edges(mesh, ONLOOKER, edges[0])
        called = memory.sidecar(mesh, ONLOOKER)
        progress.say(f"fleet: first calls on {len(edges[1])} more edges")
        first += first_call.edges(mesh, ONLOOKER, edges[1])
        changes = change.results(mesh, scope, progress)
        progress.say("fleet: memory of control plane, agent, prover and DNS server")
        figures = (*memory.results(mesh, idle, called), *changes, first_call.result(first))
        progress.say("fleet: first calls of the same edges by a sidecar that has just started")
        figures += (first_call.known(mesh, ONLOOKER, (*edges[0], *edges[1])),)
        _check_load(mesh)
        return figures


@contextlib.contextmanager
def running_fleet(folder: Path) -> Iterator[BenchMesh]:
    """The fleet, until all of it is ready and under load."""
    place = folder / "fleet"
    place.mkdir()
    with running_mesh(_described(place), place) as mesh:
        yield mesh


def _check_load(mesh: BenchMesh) -> None:
    """Figures "under load" mean a load that got its answers."""
    report = mesh.load_report()
    if report.get("failures", 0) > _MOST_FAILURES * report.get("requests", 0):
        raise BenchFailed(
            f"{report['failures']} of {report['requests']} requests of the load failed: {report['by_status']}"
        )


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
        documents = list(yaml.safe_load_all((files.MESH.parent / name).read_text()))
        for document in documents:
            if document["kind"] == "Gateway":  # its port is the ingress's; a route's port is a service's
                document["spec"]["servers"][0]["port"]["number"] = port
        (folder / name).write_text(yaml.safe_dump_all(documents))
    file = folder / "mesh.yaml"
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    return file
