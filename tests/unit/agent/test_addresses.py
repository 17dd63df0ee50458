"""The address plan, and the names of what is made on the host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.agent.interception import names
from byway.agent.interception.addresses import free_subnet, gateway_address, workload_addresses


def test_the_first_free_candidate_is_taken() -> None:
    """Routes and addresses of the host, whatever their length, rule a candidate out; a default route does not."""
    taken = ["default", "0.0.0.0/0", "10.77.3.0/24", "10.78.0.1/32", "fe80::/64", "192.0.2.0/24"]
    assert free_subnet(taken) == "10.79.0.0/16"


def test_a_host_that_routes_everything_leaves_no_subnet() -> None:
    """There is no candidate within 10/8 and 172.16/12 when both are routed."""
    assert free_subnet(["10.0.0.0/8", "172.16.0.0/12"]) is None


def test_the_bridge_is_first_and_workloads_follow() -> None:
    """In the order of the plan."""
    assert gateway_address("10.77.0.0/16") == "10.77.0.1"
    assert workload_addresses("10.77.0.0/16", ["a", "b"]) == {"a": "10.77.0.2", "b": "10.77.0.3"}


def test_too_many_workloads_for_a_subnet_are_refused() -> None:
    """Network, bridge and broadcast addresses are not given out."""
    with pytest.raises(ValueError, match="do not fit"):
        workload_addresses("10.0.0.0/30", ["a", "b"])


@given(st.text("abcdefghij-0123456789", min_size=1, max_size=32), st.text("abc-.09", min_size=1, max_size=63))
def test_names_keep_within_the_limits_of_linux(mesh: str, instance: str) -> None:
    """15 characters for a link, 28 for a chain, 255 for a file."""
    assert len(names.bridge_name(mesh)) <= 15
    assert len(names.link_name(mesh, instance)) <= 15
    assert names.link_name(mesh, instance).startswith(names.link_prefix(mesh))
    assert len(names.chain_prefix(mesh) + "-NAT") <= 28
    assert len(names.namespace_name(mesh, instance)) <= 255
