"""What is let in while a change of doors is on its way."""

from __future__ import annotations

from byway.derive.listeners import inbound, wanted_inbound
from byway.derive.transition import STILL_OPEN, both, doors, opens, shaped
from byway.model.listener import Inbound
from byway.model.policy import MutualTls
from byway.testing.mesh import TestMesh, instance, resources_in, service


def policy(mode: str, *, namespace: str = "default", app: str = "back") -> str:
    selects = f"selector: {{matchLabels: {{app: {app}}}}}, " if app else ""
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: back, namespace: {namespace}}}
spec: {{{selects}mtls: {{mode: {mode}}}}}
"""


def mesh() -> TestMesh:
    made = TestMesh(strict=True)
    made.apply(service("back") + instance("back-1", app="back", address="10.0.0.2"))
    made.apply(service("front") + instance("front-1", app="front", address="10.0.0.3"))
    return made


def side(made: TestMesh) -> Inbound:
    found = wanted_inbound(made.database, "default", "back-1")
    assert found is not None
    return found


def as_of(mode: str) -> Inbound:
    made = mesh()
    made.apply(policy(mode))
    return side(made)


def test_only_what_a_caller_must_know_is_a_door() -> None:
    strict, permissive, disabled = as_of("STRICT"), as_of("PERMISSIVE"), as_of("DISABLE")
    assert doors(permissive) == doors(disabled)
    assert doors(strict) != doors(permissive)
    assert opens(strict, disabled)
    assert not opens(disabled, strict)
    assert not opens(permissive, disabled)


def test_both_kinds_of_callers_are_let_in_meanwhile() -> None:
    strict, disabled = as_of("STRICT"), as_of("DISABLE")
    for after, before in ((strict, disabled), (disabled, strict)):
        meanwhile = both(after, before)
        assert [port.mutual_tls for port in meanwhile.ports] == [MutualTls.PERMISSIVE]
        assert meanwhile.other_mutual_tls is MutualTls.PERMISSIVE
        assert not opens(meanwhile, before)
        assert not opens(meanwhile, after)


def test_a_port_stays_for_those_who_have_not_heard_of_its_successor() -> None:
    made = mesh()
    before = side(made)
    made.apply(instance("back-1", app="back", address="10.0.0.2", ports={"http": 9000}))
    meanwhile = both(side(made), before)
    assert [(port.name, port.number) for port in meanwhile.ports] == [("http", 9000), (":8080", 8080)]


def test_what_is_still_open_is_accepted_besides_what_is_wanted() -> None:
    made = mesh()
    before = side(made)
    assert inbound(made.database, "default", "back-1") == before
    made.apply(policy("DISABLE"))
    made.database.set(STILL_OPEN, ("default", "back-1"), before)
    found = inbound(made.database, "default", "back-1")
    assert found is not None
    assert found.ports[0].mutual_tls is MutualTls.PERMISSIVE
    made.database.remove(STILL_OPEN, ("default", "back-1"))
    assert inbound(made.database, "default", "back-1") == side(made)


def test_a_resource_is_about_those_that_it_selects() -> None:
    made = mesh()
    back, front = ("default", "back-1"), ("default", "front-1")
    for text, expected in (
        (policy("STRICT"), {back}),
        (policy("STRICT", app=""), {back, front}),
        (policy("STRICT", namespace="istio-system", app="front"), {front}),
        (policy("STRICT", namespace="istio-system", app=""), {back, front}),
        (policy("STRICT", namespace="elsewhere", app=""), set()),
        (service("front"), {front}),
        (instance("back-1", app="back", address="10.0.0.9"), {back}),
    ):
        assert shaped(made.database, resources_in(text)) == expected
