"""Which ports a workload's sidecar accepts: those it declares, and those that services lead to."""

from __future__ import annotations

from byway.derive.endpoints import endpoints
from byway.derive.listeners import inbound
from byway.model.names import PORT_INBOUND
from byway.model.policy import MutualTls
from byway.model.service import Protocol
from byway.testing.mesh import TestMesh, instance, service
from byway.xds import resources

ADMIN = "admin.default.svc.cluster.local"
EXPLICIT = {"byway.dev/interception": "explicit", "byway.dev/app-ports": "http=40002"}


def admin(**port: object) -> str:
    """A second service before `back`, with one port."""
    return service("admin", vip="240.240.0.8", ports=({"name": "http", "port": 80, **port},)).replace(
        "app: admin", "app: back"
    )


def mesh(*, annotations: dict[str, str] | None = None, ports: dict[str, int] | None = None) -> TestMesh:
    """`back` with one instance and its own service, watched by nobody."""
    made = TestMesh(strict=False)
    made.apply(service("back", vip="240.240.0.9"))
    made.apply(instance("back-1", app="back", address="10.0.0.2", annotations=annotations, ports=ports))
    return made


def accepted(made: TestMesh) -> dict[int, Protocol]:
    """The ports that the sidecar of `back-1` accepts, with what is spoken there."""
    found = inbound(made.database, "default", "back-1")
    assert found is not None
    return {port.number: port.protocol for port in found.ports}


def reached(made: TestMesh, host: str = ADMIN, port: int = 80) -> list[int]:
    """The ports of the instances that calls of a service's port get to."""
    return [endpoint.port for endpoint in endpoints(made.database, host, port, ())]


def test_a_number_that_nobody_declares_is_accepted_as_the_service_speaks_there() -> None:
    made = mesh()
    assert accepted(made) == {8080: Protocol.HTTP}
    made.apply(admin(targetPort=9000))
    assert accepted(made) == {8080: Protocol.HTTP, 9000: Protocol.HTTP}
    assert reached(made) == [9000]
    made.apply(admin(targetPort=9000, appProtocol="tcp"))
    assert accepted(made)[9000] is Protocol.TCP
    made.delete("Service", "admin")
    assert accepted(made) == {8080: Protocol.HTTP}


def test_a_number_wins_over_a_declared_port_of_the_same_name() -> None:
    made = mesh()
    made.apply(admin(targetPort=9000))
    assert reached(made) == [9000]


def test_a_name_is_the_declared_port_of_that_name() -> None:
    made = mesh(ports={"http": 8080, "inside": 9001})
    assert made.apply(admin(targetPort="inside")) == ()
    assert reached(made) == [9001]


def test_a_name_that_no_instance_declares_is_told_at_its_place() -> None:
    made = mesh(ports={"inside": 9001})
    (found,) = made.apply(admin(targetPort="inzide"), "admin.yaml")
    assert (found.code, found.severity.value, found.hint) == (
        "unknown-target-port",
        "warning",
        'did you mean "inside"?',
    )
    assert found.position is not None
    line = admin(targetPort="inzide").splitlines()[found.position.line - 1]
    assert (found.position.file, "targetPort" in line) == ("admin.yaml", True)
    assert reached(made) == []


def test_without_a_target_it_is_the_number_or_what_the_instance_declares_under_the_ports_name() -> None:
    made = mesh(ports={"http": 8080})
    made.apply(admin(name="other"))
    assert reached(made) == [80]
    made.apply(admin(name="http"))
    assert reached(made) == [8080]
    unnamed = admin().replace("name: http", "protocol: TCP")
    made.apply(unnamed)
    assert reached(made) == [80]


def test_without_interception_only_the_proxys_own_ports_are_reached() -> None:
    made = mesh(annotations=EXPLICIT, ports={"http": 40001})
    for port in ({}, {"targetPort": 40002}, {"targetPort": 8080}):
        made.apply(admin(**port))
        assert reached(made) == [40001]
    (found,) = made.apply(admin(name="other", targetPort=9000))
    assert found.code == "unknown-target-port"
    assert reached(made) == []
    assert list(accepted(made)) == [40001]


def test_a_sidecars_own_port_is_no_target() -> None:
    made = mesh()
    (found,) = made.apply(admin(targetPort=PORT_INBOUND))
    assert found.code == "reserved-target-port"
    assert list(accepted(made)) == [8080]


def test_datagrams_are_no_ports_of_the_mesh() -> None:
    made = mesh()
    made.apply(admin(targetPort=53, protocol="UDP"))
    assert list(accepted(made)) == [8080]


def test_policies_hold_on_a_port_that_only_a_service_names() -> None:
    made = mesh()
    made.apply(admin(targetPort=9000))
    made.apply("""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: back}
spec: {selector: {matchLabels: {app: back}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: PERMISSIVE}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: back}
spec: {action: DENY, selector: {matchLabels: {app: back}}, rules: [{to: [{operation: {ports: ["9000"]}}]}]}
""")
    found = inbound(made.database, "default", "back-1")
    assert found is not None
    ports = {port.number: port for port in found.ports}
    assert (ports[8080].mutual_tls, ports[9000].mutual_tls) == (MutualTls.STRICT, MutualTls.PERMISSIVE)
    assert ports[8080].access.deny[0].rules == ()
    assert ports[9000].access.deny[0].rules[0].operations == ()


def test_a_service_touches_only_the_instances_that_it_selects() -> None:
    made = mesh()
    for number in range(20):
        name = f"other-{number}"
        made.apply(service(name) + instance(f"{name}-1", app=name, address=f"10.0.1.{number}"))
    for who in ("back-1", *(f"other-{number}-1" for number in range(20))):
        made.database.subscribe(resources.outline, "default", who)
    made.database.changed()
    made.computed()
    made.apply(admin(targetPort=9000))
    changed = made.database.changed()
    assert [root.args for root in changed] == [("default", "back-1")]
    ran = made.computed()
    assert (ran.count("inbound"), ran.count("services_before"), ran.count("standing_clusters")) == (1, 1, 1)
