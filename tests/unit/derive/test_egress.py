"""What a Sidecar lets its workloads call, and what it names as called."""

from __future__ import annotations

import pytest

from byway.derive.egress import WILDCARD_LIMIT, egress, named_calls
from byway.derive.routes import view, virtual_host
from byway.model.egress import Call, HostPattern
from byway.testing.mesh import TestMesh, instance, service
from byway.xds import resources

WEB = (("app", "web"),)
PORTS = ({"name": "http", "port": 8080}, {"name": "tcp-db", "port": 3306})


def host(name: str, namespace: str = "default") -> str:
    return f"{name}.{namespace}.svc.cluster.local"


def sidecar(name: str, *hosts: str, namespace: str = "default", selector: str = "") -> str:
    """A Sidecar in YAML; without hosts it has no egress at all."""
    selected = f"  workloadSelector: {{labels: {{{selector}}}}}\n" if selector else ""
    listener = f"  egress: [{{hosts: [{', '.join(map(repr, hosts))}]}}]\n" if hosts else ""
    meta = f"metadata: {{name: {name}, namespace: {namespace}}}"
    return f"---\napiVersion: networking.istio.io/v1\nkind: Sidecar\n{meta}\nspec:\n{selected}{listener}"


@pytest.fixture
def mesh() -> TestMesh:
    made = TestMesh(strict=True)
    made.apply(
        service("links", vip="240.240.0.1", ports=PORTS)
        + service("users", vip="240.240.0.2")
        + service("far", vip="240.240.0.3").replace("namespace: default", "namespace: far")
        + instance("web-1", app="web", address="10.0.0.1")
    )
    return made


def routed(mesh: TestMesh, authority: str, labels: tuple[tuple[str, str], ...] = WEB) -> bool:
    client = view(mesh.database, "default", labels)
    return virtual_host(mesh.database, client, authority) is not None


def test_without_a_sidecar_everything_may_be_called(mesh: TestMesh) -> None:
    assert egress(mesh.database, "default", WEB) is None
    assert routed(mesh, "links:8080")
    assert named_calls(mesh.database, "default", WEB) == ()


def test_what_a_sidecar_does_not_name_is_an_unknown_host(mesh: TestMesh) -> None:
    """Under every spelling, by address too; and back again without it."""
    mesh.apply(sidecar("web", "./users", selector="app: web"))
    assert routed(mesh, "users:8080")
    for spelling in ("links:8080", f"{host('links')}:8080", "240.240.0.1:8080", "far.far:8080"):
        assert not routed(mesh, spelling)
    assert routed(mesh, "links:8080", labels=(("app", "other"),))
    mesh.delete("Sidecar", "web")
    assert routed(mesh, "links:8080")


def test_over_tcp_it_is_refused(mesh: TestMesh) -> None:
    """As an address that nobody has."""
    name = "tcp|240.240.0.1:3306"
    before = resources.called_cluster(mesh.database, "default", "web-1", name)
    assert resources.called_endpoints(mesh.database, "default", (HostPattern("*", "*"),), name) is not None
    mesh.apply(sidecar("web", "./users", selector="app: web"))
    after = resources.called_cluster(mesh.database, "default", "web-1", name)
    nobody = resources.called_cluster(mesh.database, "default", "web-1", "tcp|240.240.9.9:3306")
    assert before is not None
    assert after is not None
    assert nobody is not None
    assert len(after.any_bytes) == len(nobody.any_bytes) < len(before.any_bytes)
    users = (HostPattern("default", host("users")),)
    assert resources.called_endpoints(mesh.database, "default", users, name) is None


def test_the_nearest_sidecar_that_says_anything_counts(mesh: TestMesh) -> None:
    """The workload's own, else the namespace's, else the root namespace's."""
    users, links = HostPattern("default", host("users")), HostPattern("default", host("links"))
    mesh.apply(sidecar("all", "*/*", namespace="istio-system"))
    assert egress(mesh.database, "default", WEB) == (HostPattern("*", "*"),)
    mesh.apply(sidecar("root-web", "./x", namespace="istio-system", selector="app: web"))
    assert egress(mesh.database, "default", WEB) == (HostPattern("*", "*"),)
    mesh.apply(sidecar("default", "./users"))
    assert egress(mesh.database, "default", WEB) == (users,)
    mesh.apply(sidecar("web", "./links", selector="app: web"))
    assert egress(mesh.database, "default", WEB) == (links,)
    mesh.apply(sidecar("web", selector="app: web"))
    assert egress(mesh.database, "default", WEB) == (users,)
    assert egress(mesh.database, "far", WEB) == (HostPattern("*", "*"),)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("./*", {"links", "users"}),
        ("far/*", {"far.far"}),
        (f"*/{host('far', 'far')}", {"far.far"}),
        ("*/*.far.svc.cluster.local", {"far.far"}),
        ("*/*", {"links", "users", "far.far"}),
        ("~/*", set()),
        (f"far/{host('links')}", set()),
    ],
)
def test_a_pattern_covers_hosts_by_their_own_namespace(mesh: TestMesh, written: str, expected: set[str]) -> None:
    mesh.apply(sidecar("web", written))
    assert {name for name in ("links", "users", "far.far") if routed(mesh, f"{name}:8080")} == expected


def test_a_host_that_only_rules_have_is_covered_by_the_namespace_of_the_rules(mesh: TestMesh) -> None:
    """What it routes to may be called through it, though not by name."""
    rules = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\n"
    mesh.apply(rules + "spec: {hosts: [shop.example.com], http: [{route: [{destination: {host: links}}]}]}\n")
    mesh.apply(sidecar("web", "./shop.example.com"))
    assert routed(mesh, "shop.example.com")
    assert not routed(mesh, "links:8080")
    assert named_calls(mesh.database, "default", WEB) == (Call("shop.example.com", 80),)
    mesh.apply(sidecar("web", "far/shop.example.com"))
    assert not routed(mesh, "shop.example.com")


def test_every_port_of_what_is_named_is_called_what_is_named_exactly_first(mesh: TestMesh) -> None:
    mesh.apply(sidecar("web", "./*", "far/far", "./nobody"))
    assert named_calls(mesh.database, "default", WEB) == (
        Call(host("far", "far"), 8080),
        Call(host("links"), 8080),
        Call(host("links"), 3306, is_tcp=True),
        Call(host("users"), 8080),
    )


def test_everything_names_nothing_and_wildcards_are_bounded(mesh: TestMesh) -> None:
    mesh.apply(sidecar("web", "*/*"))
    assert named_calls(mesh.database, "default", WEB) == ()
    mesh.apply("".join(service(f"s{n}", vip=f"240.240.7.{n}") for n in range(WILDCARD_LIMIT + 5)))
    mesh.apply(sidecar("web", "./*"))
    assert len({call.host for call in named_calls(mesh.database, "default", WEB)}) == WILDCARD_LIMIT


def test_a_sidecar_concerns_only_the_clients_that_it_selects(mesh: TestMesh) -> None:
    """Routes of others are not derived again."""
    others = (("app", "other"),)
    for labels in (WEB, others):
        routed(mesh, "links:8080", labels)
    mesh.computed()
    mesh.apply(sidecar("web", "./links", selector="app: web"))
    mesh.computed()
    routed(mesh, "links:8080", others)
    assert mesh.computed() == []
    routed(mesh, "links:8080")
    assert "virtual_host" in mesh.computed()


def test_what_cannot_be_meant_is_told(mesh: TestMesh) -> None:
    """A selector that selects nobody, a host that there is not, and a second Sidecar for all."""
    found = mesh.apply(sidecar("a", "./links", "./nobody", f"far/{host('links')}", "./*", "~/x", selector="app: none"))
    assert [(d.code, d.position.line if d.position else 0) for d in found] == [
        ("selector-matches-nothing", 6),
        ("unknown-destination", 7),
        ("unknown-destination", 7),
    ]
    assert mesh.apply(sidecar("b", "./links")) == ()
    (second,) = mesh.apply(sidecar("c", "./links"))
    assert (second.code, "Sidecar default/b" in second.message) == ("several-sidecars", True)
