"""What a sidecar is given before it asks: nothing, or everything that it may call."""

from __future__ import annotations

from collections.abc import Mapping

from byway.base.diagnostics import Severity
from byway.derive.discovery import Given, given
from byway.model.names import ANNOTATION_DISCOVERY, ANNOTATION_INTERCEPTION
from byway.testing.mesh import TestMesh, instance, service

PORTS = ({"name": "http", "port": 8080}, {"name": "tcp-db", "port": 3306})
EAGER = """
---
apiVersion: byway.dev/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {discovery: eager}
"""
ROUTED = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop.example.com, links, "*.example.org"], http: [{route: [{destination: {host: links}}]}]}
"""
SIDECAR = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["./users"]}]}
"""
LINKS, USERS = (f"out/{name}.default.svc.cluster.local:8080" for name in ("links", "users"))
DB = "tcp|240.240.0.1:3306"


def made(text: str = "", *, strict: bool = True, annotations: Mapping[str, str] | None = None) -> TestMesh:
    """Two services, one with a TCP port, and one client with annotations."""
    mesh = TestMesh(strict=strict)
    client = instance("web-1", app="web", address="10.0.0.1", annotations=annotations)
    mesh.apply(service("links", vip="240.240.0.1", ports=PORTS) + service("users", vip="240.240.0.2") + client + text)
    return mesh


def offered(mesh: TestMesh) -> Given:
    return given(mesh.database, "default", "web-1")


def test_a_lazy_sidecar_is_given_nothing() -> None:
    """Which is what holds where nothing is said."""
    assert offered(made()) == Given()


def test_an_eager_mesh_gives_every_service_and_what_there_is_by_routes_alone() -> None:
    """A wildcard is no host that could be given."""
    mesh = made(EAGER + ROUTED)
    assert offered(mesh) == Given((DB,), (LINKS, USERS, "out/shop.example.com:80"))
    mesh.delete("MeshConfig", "default", "")
    assert offered(mesh) == Given()


def test_a_workload_says_otherwise_for_itself() -> None:
    """Either way; a word that means nothing is an error, as in a MeshConfig."""
    assert offered(made(annotations={ANNOTATION_DISCOVERY: "eager"})).clusters == (DB,)
    assert offered(made(EAGER, annotations={ANNOTATION_DISCOVERY: "lazy"})) == Given()
    mesh = made()
    (found,) = mesh.apply(instance("web-1", app="web", address="10.0.0.1", annotations={ANNOTATION_DISCOVERY: "early"}))
    assert (found.severity, found.code, found.hint) == (Severity.ERROR, "unknown-discovery", "write lazy or eager")
    assert offered(mesh) == Given()


def test_a_sidecar_resource_limits_it() -> None:
    """As it limits what may be called at all."""
    assert offered(made(EAGER + SIDECAR)) == Given((), (USERS,))


def test_gateways_and_clients_of_grpc_are_given_nothing_and_explicit_proxies_no_address() -> None:
    """The one holds its routes anyway, the other asks for each dial target; where proxying is explicit there is only HTTP."""
    assert offered(made(EAGER, annotations={ANNOTATION_INTERCEPTION: "none"})) == Given()
    assert offered(made(EAGER, annotations={ANNOTATION_INTERCEPTION: "explicit"})) == Given((), (LINKS, USERS))


def test_a_service_that_comes_or_goes_is_looked_for_in_its_own_namespace_only() -> None:
    """And a change that leaves names alone ends there."""
    mesh = made(EAGER + service("far").replace("namespace: default", "namespace: far"), strict=False)
    assert len(offered(mesh).virtual_hosts) == 3
    mesh.computed()
    mesh.apply(service("more", vip="240.240.0.9").replace("namespace: default", "namespace: far"))
    assert "out/more.far.svc.cluster.local:8080" in offered(mesh).virtual_hosts
    assert mesh.computed().count("everything_in") == 1
    mesh.delete("Service", "more", "far")
    assert len(offered(mesh).virtual_hosts) == 3
    mesh.computed()
    mesh.apply(service("links", vip="240.240.0.1", ports=PORTS).replace("app: links", "app: other"))
    assert len(offered(mesh).virtual_hosts) == 3
    assert "given" not in mesh.computed()
