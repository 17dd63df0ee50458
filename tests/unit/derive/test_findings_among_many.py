"""A mistake that thousands of resources share is told in a few words at each of them."""

from __future__ import annotations

from byway.testing.mesh import TestMesh, service


def route(name: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: [echo], http: [{{route: [{{destination: {{host: echo}}}}]}}]}}
"""


def sidecar(name: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}}}
spec: {{egress: [{{hosts: ["./*"]}}]}}
"""


def routed_by(n: int) -> list[str]:
    mesh = TestMesh()
    mesh.apply(service("echo"))
    return [found.message for found in mesh.apply("".join(route(f"v{i:04}") for i in range(n)))]


def test_a_few_others_are_all_named() -> None:
    assert routed_by(1) == []
    assert routed_by(2) == [
        "host echo.default.svc.cluster.local is routed by VirtualService default/v0001 as well",
        "host echo.default.svc.cluster.local is routed by VirtualService default/v0000 as well",
    ]


def test_of_many_others_the_first_five_are_named_and_the_rest_counted() -> None:
    found = routed_by(1000)
    assert len(found) == 1000
    names = ", ".join(f"VirtualService default/v{i:04}" for i in (0, 1, 3, 4, 5))
    assert found[2] == f"host echo.default.svc.cluster.local is routed by {names} and 994 more as well"
    assert max(map(len, found)) < 300


def test_who_else_is_there_is_looked_up_once_for_all() -> None:
    """The work at each resource does not grow with the number of the others."""
    mesh = TestMesh()
    mesh.apply(service("echo") + "".join(route(f"v{i:04}") for i in range(200)))
    assert sum(name.endswith("_first") for name in mesh.computed()) == 1


def test_several_sidecars_are_told_alike() -> None:
    found = TestMesh().apply("".join(sidecar(f"s{i:03}") for i in range(50)))
    assert max(len(f.message) for f in found) < 250
    assert "and 44 more for all its workloads already" in found[-1].message
