"""The demo's YAML files are valid, and say what their names promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from byway.app.meshfile import description
from byway.demo import files, graph
from byway.kinds.decode import decode
from byway.kinds.istio.virtual_service import VirtualService
from byway.kinds.resource import Resource
from byway.kinds.text import documents


def decoded(path: Path) -> list[Resource]:
    read = documents(path.read_text(), str(path))
    assert read.diagnostics == ()
    results = [decode(document) for document in read.value]
    assert [str(problem) for result in results for problem in result.diagnostics] == []
    return [result.value for result in results if result.value is not None]


def spec(name: str) -> Any:
    return decoded(files.RESOURCES / name)[0].spec


@pytest.mark.parametrize("path", files.resources(), ids=lambda path: path.name)
def test_every_file_is_accepted_and_speaks_of_services_of_the_fleet(path: Path) -> None:
    for resource in decoded(path):
        if isinstance(resource.spec, VirtualService):
            assert set(resource.spec.hosts) <= {*graph.SERVICES, "*"}


def test_the_files_are_those_that_are_promised() -> None:
    assert [path.name for path in files.resources()] == [
        "allow.yaml",
        "beta.yaml",
        "canary-50.yaml",
        "canary.yaml",
        "circuit-breaker.yaml",
        "deny.yaml",
        "fault.yaml",
        "gateway.yaml",
        "link-subsets.yaml",
        "mesh-config.yaml",
    ]


@pytest.mark.parametrize(("name", "weights"), [("canary.yaml", [95, 5]), ("canary-50.yaml", [50, 50])])
def test_a_canary_splits_by_weight(name: str, weights: list[int]) -> None:
    routes = spec(name).http[0].route
    assert [(route.destination.subset, route.weight) for route in routes] == list(
        zip(("stable", "canary"), weights, strict=True)
    )


def test_the_mesh_file_describes_the_fleet() -> None:
    described = description(files.MESH.read_text(), str(files.MESH))
    assert described.diagnostics == ()
    assert described.value is not None
    file = described.value.file
    assert tuple(file.services) == graph.SERVICES
    assert {name: version.instances for name, version in file.services["link-service"].all_versions.items()} == {
        "stable": 2,
        "canary": 1,
    }
    assert sum(v.instances for s in file.services.values() for v in s.all_versions.values()) == 22
    assert {port.port for service in file.services.values() for port in service.all_ports} == {graph.PORT}
    assert file.gateways["ingress"].listen == "127.0.0.1:8080"
    assert all((files.MESH.parent / name).is_file() for name in file.resources)
