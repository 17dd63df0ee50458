"""The mesh's own identities, and the node in an agent's certificate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.identity.roles import (
    CONTROL_PLANE_HOST,
    MalformedNodeName,
    agent_id,
    control_plane_id,
    is_reserved,
    node_dns_name,
    node_of,
)
from byway.identity.spiffe import TrustDomain, workload_id

TD = TrustDomain("cluster.local")
_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


def test_agent_and_control_plane_have_fixed_reserved_identities() -> None:
    """They are service accounts of istio-system that no workload may hold."""
    assert str(agent_id(TD)) == "spiffe://cluster.local/ns/istio-system/sa/byway-agent"
    assert str(control_plane_id(TD)) == "spiffe://cluster.local/ns/istio-system/sa/byway"
    assert is_reserved(agent_id(TD))
    assert is_reserved(control_plane_id(TD))
    assert not is_reserved(workload_id(TD, "default", "byway"))


@given(st.lists(_labels, min_size=1, max_size=4).map(".".join))
def test_a_node_is_read_back_from_its_dns_name(node: str) -> None:
    """Binding and reading are inverse, and no node's name is the control plane's host name."""
    name = node_dns_name(node)
    assert node_of((name,)) == node
    assert name != CONTROL_PLANE_HOST


@pytest.mark.parametrize(
    "node", ["", "A", "a b", "*", "a..b", ".a", "a.", "-a", "a-", "a\n", "a\x00", "é", "a" * 64, "a." * 101 + "a"]
)
def test_a_name_that_is_no_dns_name_is_no_node(node: str) -> None:
    """Wildcards, capitals, empty labels, and what is too long are refused."""
    with pytest.raises(MalformedNodeName):
        node_dns_name(node)


def test_two_nodes_or_none_bind_to_none() -> None:
    """A certificate with two node names is bound to neither."""
    assert node_of(()) is None
    assert node_of(("localhost", "byway.istio-system.svc")) is None
    assert node_of(("node.a.byway", "node.b.byway")) is None
    assert node_of(("node.*.byway",)) is None
