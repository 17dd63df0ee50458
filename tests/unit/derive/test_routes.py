"""What a client's proxy does with requests for one authority."""

from __future__ import annotations

from byway.derive.routes import view, virtual_host
from byway.model.listener import View
from byway.testing.mesh import TestMesh, instance, service

CLIENT = View("default")
LINK = "link-service.default.svc.cluster.local"
SPLIT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec:
  hosts: [link-service]
  http:
  - match: [{headers: {x-beta-user: {exact: "true"}}}]
    route: [{destination: {host: link-service, subset: canary}}]
  - route:
    - {destination: {host: link-service, subset: stable}, weight: 95}
    - {destination: {host: link-service, subset: canary}, weight: 5}
"""


def mesh() -> TestMesh:
    made = TestMesh(strict=True)
    made.apply(service("link-service", vip="240.240.0.9") + instance("link-1", app="link-service", address="10.0.0.2"))
    return made


def test_a_service_without_rules_is_reached_under_every_spelling_of_its_name() -> None:
    host = virtual_host(mesh().database, CLIENT, "link-service:8080")
    assert host is not None
    assert host.domains == (
        "link-service:8080",
        "link-service.default:8080",
        f"{LINK.removesuffix('.cluster.local')}:8080",
        f"{LINK}:8080",
        "240.240.0.9:8080",
    )
    assert [s.cluster for s in host.routes[0].clusters] == [f"outbound|8080||{LINK}"]


def test_every_spelling_gives_the_same_virtual_host() -> None:
    database = mesh().database
    spellings = (
        "link-service:8080",
        "link-service.default:8080",
        f"{LINK}:8080",
        "240.240.0.9:8080",
        "LINK-Service:8080",
    )
    assert len({virtual_host(database, CLIENT, spelling) for spelling in spellings}) == 1


def test_an_unknown_host_has_no_virtual_host_until_it_is_created() -> None:
    made = mesh()
    assert virtual_host(made.database, CLIENT, "later:8080") is None
    made.apply(service("later"))
    assert virtual_host(made.database, CLIENT, "later:8080") is not None
    made.delete("Service", "later")
    assert virtual_host(made.database, CLIENT, "later:8080") is None


def test_a_split_gives_each_subset_its_weight_in_the_order_written() -> None:
    made = mesh()
    made.apply(SPLIT)
    host = virtual_host(made.database, CLIENT, "link-service:8080")
    assert host is not None
    shares = [[(s.cluster, s.weight) for s in route.clusters] for route in host.routes]
    assert shares == [
        [(f"outbound|8080|canary|{LINK}", 1)],
        [(f"outbound|8080|stable|{LINK}", 95), (f"outbound|8080|canary|{LINK}", 5)],
    ]


def test_a_route_to_a_service_that_does_not_exist_refuses_instead_of_waiting() -> None:
    made = mesh()
    made.apply(SPLIT.replace("host: link-service, subset: canary", "host: nobody"))
    host = virtual_host(made.database, CLIENT, "link-service:8080")
    assert host is not None
    assert host.routes[0].clusters[0].cluster == "BlackHoleCluster"


def test_only_clients_with_the_source_labels_get_the_rule() -> None:
    made = mesh()
    made.apply(SPLIT.replace('headers: {x-beta-user: {exact: "true"}}', "sourceLabels: {version: v2}"))
    labels = (("app", "web"), ("version", "v2"))
    assert view(made.database, "default", labels) == View("default", (("version", "v2"),))
    chosen = virtual_host(made.database, view(made.database, "default", labels), "link-service:8080")
    others = virtual_host(made.database, CLIENT, "link-service:8080")
    assert chosen is not None
    assert others is not None
    assert (len(chosen.routes), len(others.routes)) == (2, 1)


def test_a_change_of_one_virtual_service_runs_only_what_reads_it() -> None:
    made = mesh()
    for number in range(50):
        made.apply(service(f"other-{number}"))
        virtual_host(made.database, CLIENT, f"other-{number}:8080")
    made.apply(SPLIT)
    virtual_host(made.database, CLIENT, "link-service:8080")
    made.computed()
    made.apply(SPLIT.replace("95", "50").replace("weight: 5}", "weight: 50}"))
    for number in range(50):
        virtual_host(made.database, CLIENT, f"other-{number}:8080")
    virtual_host(made.database, CLIENT, "link-service:8080")
    ran = [name for name in made.computed() if name != "subset"]
    assert ran == ["derived_route_rules", "route_rules_of", "rules_for", "virtual_host"]
