"""A caller gets its own identity; an agent also those that are registered on its node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from byway.authority.attestation import Caller, Unattested, control_socket_caller, mutual_tls_caller
from byway.authority.entitlement import NotEntitled, Subject, entitled_subject
from byway.identity.roles import agent_id, control_plane_id
from byway.identity.spiffe import SpiffeId, TrustDomain, workload_id

TD = TrustDomain("cluster.local")
WEB = workload_id(TD, "default", "web")
AGENT = Caller(identity=agent_id(TD), node="host-a", via="mtls")


def on_host_a(agent: SpiffeId, node: str, target: SpiffeId) -> bool:
    return node == "host-a" and target == WEB


def anything(agent: SpiffeId, node: str, target: SpiffeId) -> bool:
    return True


def test_a_workload_gets_itself_and_nothing_beside() -> None:
    """Renewal needs no permission; a wish for another identity is refused even where the policy would allow it."""
    web = Caller(identity=WEB, via="mtls")
    assert entitled_subject(web, None, on_host_a) == Subject(WEB)
    with pytest.raises(NotEntitled, match="no agent"):
        entitled_subject(web, "spiffe://cluster.local/ns/default/sa/admin", anything)


def test_an_agent_gets_itself_with_its_node_and_the_workloads_of_its_node() -> None:
    """The node stands in the agent's certificate, never in a workload's."""
    assert entitled_subject(AGENT, None, on_host_a).dns_names == ("node.host-a.byway",)
    assert entitled_subject(AGENT, str(WEB), on_host_a) == Subject(WEB)
    assert Subject(WEB).dns_names == ()


def test_an_agent_of_another_node_is_refused() -> None:
    """The same wish from the wrong host."""
    elsewhere = Caller(identity=agent_id(TD), node="host-b", via="mtls")
    with pytest.raises(NotEntitled, match="on node host-b"):
        entitled_subject(elsewhere, str(WEB), on_host_a)


@pytest.mark.parametrize(
    "wish",
    [
        "",
        "web",
        str(WEB) + "\x00",
        "spiffe://other.domain/ns/default/sa/web",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/default",
        str(agent_id(TD)),
        str(control_plane_id(TD)),
    ],
)
def test_what_no_policy_can_give(wish: str) -> None:
    """No id, another trust domain, no workload, and the mesh's own identities."""
    with pytest.raises(NotEntitled):
        entitled_subject(AGENT, wish, anything)


def test_the_control_planes_certificate_renews_nothing() -> None:
    """Its key signs handshakes only; a copy of it must not live on by renewal."""
    with pytest.raises(NotEntitled):
        entitled_subject(Caller(identity=control_plane_id(TD), via="mtls"), None, anything)


def context(pem: bytes, security: bytes = b"ssl") -> dict[str, list[bytes]]:
    return {"transport_security_type": [security], "x509_pem_cert": [pem]}


def leaf(authority: Any, identity: SpiffeId, dns_names: tuple[str, ...] = ()) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    chain: bytes = authority.issue(identity, key.public_key(), dns_names=dns_names, via="test")
    return chain


def test_a_client_certificate_attests_its_holder(authority: Any, clock: Any) -> None:
    """Identity and, for an agent, node come from the certificate."""
    caller = mutual_tls_caller(context(leaf(authority, WEB)), TD, clock.now())
    assert (caller.identity, caller.node) == (WEB, "")
    agent = mutual_tls_caller(context(leaf(authority, agent_id(TD), ("node.host-a.byway",))), TD, clock.now())
    assert (agent.identity, agent.node) == (agent_id(TD), "host-a")


def test_evidence_that_is_missing_or_stale_attests_nobody(authority: Any, clock: Any) -> None:
    """Plain text, no certificate, garbage, another trust domain, an agent without a node, an expired certificate."""
    web = leaf(authority, WEB)
    foreign = leaf(authority, workload_id("other.domain", "default", "web"))
    nowhere = leaf(authority, agent_id(TD))
    for evidence in (
        {},
        {"transport_security_type": [b"ssl"]},
        context(web, b"insecure"),
        context(b"garbage"),
        context(foreign),
        context(nowhere),
        context(authority.bundle.pem),
    ):
        with pytest.raises(Unattested):
            mutual_tls_caller(evidence, TD, clock.now())
    with pytest.raises(Unattested, match="was valid"):
        mutual_tls_caller(context(web), TD, clock.now() + timedelta(days=2))


def test_a_workload_cannot_pass_for_a_node(authority: Any, clock: Any) -> None:
    """A node name in a workload's certificate means nothing."""
    caller = mutual_tls_caller(context(leaf(authority, WEB, ("node.host-a.byway",))), TD, clock.now())
    assert caller.node == ""


def test_the_control_socket_attests_the_agent_and_nobody_else() -> None:
    """Whoever opens it is this host's agent; a TCP peer never is, and a node must have a name."""
    caller = control_socket_caller("unix:", "host-a", TD)
    assert (caller.identity, caller.node) == (agent_id(TD), "host-a")
    for peer, node in (("ipv4:127.0.0.1:5", "host-a"), ("unix:", ""), ("unix:", "*"), ("unix:", "a\x00b")):
        with pytest.raises(Unattested):
            control_socket_caller(peer, node, TD)
