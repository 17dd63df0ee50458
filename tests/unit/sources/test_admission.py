"""Addresses are assigned once, without conflicts, and the same wherever the same state is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.kinds import Document, ResourceId, resource_id
from byway.model.names import VIP_NETWORK
from byway.sources.admission import admitted, with_namespace
from byway.sources.errors import CommitRefused
from byway.sources.source import Change, Put, Remove


def _service(name: str, **spec: Any) -> Document:
    meta = {"name": name, "namespace": "default"}
    return Document({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})


def _key(name: str) -> ResourceId:
    return ResourceId("Service", "default", name)


def test_the_address_follows_from_the_name_alone() -> None:
    """So that a mesh set up anew has the same addresses."""
    first, second = admitted([Put(_service("docs"))], {}), admitted([Put(_service("docs"))], {})
    assert first == second
    assert first.addresses[_key("docs")].rpartition(".")[0].startswith(VIP_NETWORK.rpartition(".0.0")[0])


def test_a_taken_address_is_stepped_over() -> None:
    wanted = admitted([Put(_service("docs"))], {}).addresses[_key("docs")]
    taken = {_key("other"): wanted}
    assert admitted([Put(_service("docs"))], taken).addresses[_key("docs")] != wanted


def test_a_service_of_the_same_commit_cannot_take_an_address_that_is_kept() -> None:
    taken = {_key("docs"): "240.240.0.7"}
    with pytest.raises(CommitRefused):
        admitted([Put(_service("web", clusterIP="240.240.0.7")), Put(_service("docs"))], taken)


def test_a_service_can_move_to_an_explicit_address_and_back_to_an_assigned_one() -> None:
    moved = admitted([Put(_service("docs", clusterIP="10.0.0.9"))], {_key("docs"): "240.240.0.7"})
    assert moved.addresses == {_key("docs"): "10.0.0.9"}
    kept = admitted([Put(_service("docs"))], moved.addresses)
    assert kept.addresses == {_key("docs"): "10.0.0.9"}, "an address is kept until another one is asked for"


def test_a_service_that_becomes_headless_gives_its_address_back() -> None:
    assert admitted([Put(_service("docs", clusterIP="None"))], {_key("docs"): "240.240.0.7"}).addresses == {}


def test_what_is_no_service_is_left_as_it_is() -> None:
    document = Document({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}})
    assert admitted([Put(document)], {}).changes == (Put(document),)


def test_a_spec_of_another_form_is_left_for_decoding_to_refuse() -> None:
    odd = Document({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "odd"}, "spec": [1]})
    assert admitted([Put(odd)], {}).changes == (Put(odd),)


def test_a_namespace_is_written_in_where_it_belongs_and_is_missing() -> None:
    bare = Document({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "docs"}})
    blue = with_namespace(bare, "blue")
    assert blue.body["metadata"] == {"name": "docs", "namespace": "blue"}
    assert with_namespace(blue, "red") is blue
    mesh_wide = Document({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}})
    assert with_namespace(mesh_wide, "red") is mesh_wide


_names = st.sampled_from([f"s{number}" for number in range(6)])
_addresses = st.sampled_from(["", "", "None", "10.0.0.1", "10.0.0.2"])
_puts = st.builds(lambda name, ip: Put(_service(name, **({"clusterIP": ip} if ip else {}))), _names, _addresses)
_changes = _puts | _names.map(lambda name: Remove(_key(name)))


@given(st.lists(st.lists(_changes, max_size=4), max_size=8))
def test_after_any_commits_addresses_are_unique_and_written_in_the_documents(commits: list[list[Change]]) -> None:
    documents: dict[ResourceId, Document] = {}
    taken: dict[ResourceId, str] = {}
    for commit in commits:
        try:
            admission = admitted(commit, taken)
        except CommitRefused:
            continue
        for change in admission.changes:
            if isinstance(change, Put):
                key = resource_id(change.document)
                assert key is not None
                documents[key] = change.document
            else:
                documents.pop(change.id, None)
        taken = admission.addresses
        held = {key: document.body["spec"]["clusterIP"] for key, document in documents.items()}
        assert {key: address for key, address in held.items() if address != "None"} == taken
        assert len(set(taken.values())) == len(taken)
