"""A stream that breaks between a cluster and its endpoints: Envoy says nothing of clusters before it has the endpoints."""

from __future__ import annotations

import pytest

from byway.ads.catalogue import PLACEHOLDER
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import Conversation, holding, resource, service


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    catalogue = MemoryCatalogue()
    catalogue.put(*service("links"), *service("new"), resource("lds", "outbound", ("links",)))
    catalogue.set_roots(listeners=("outbound",))
    return catalogue


def come_back(catalogue: MemoryCatalogue) -> Conversation:
    """With a cluster that warms: its stream begins with listeners."""
    conversation = Conversation(catalogue)
    assert conversation.asks("lds", holding=holding(catalogue, "lds", "outbound")) == []
    hosts = {**holding(catalogue, "vhds", "out/links"), PLACEHOLDER: "1"}
    catalogue.put(resource("vhds", PLACEHOLDER))
    assert conversation.asks("vhds", "*", "out/links", holding=hosts) == [f"vhds +{PLACEHOLDER}"]
    conversation.acks("vhds")
    return conversation


def test_endpoints_asked_for_before_clusters_are_sent_although_they_are_held(catalogue: MemoryCatalogue) -> None:
    """Without them Envoy would wait for 15 s; with them it goes on, and nothing else is sent."""
    conversation = come_back(catalogue)
    assert conversation.asks("eds", "links", holding=holding(catalogue, "eds", "links")) == ["eds +links"]
    assert conversation.asks("cds", holding=holding(catalogue, "cds", "links")) == []
    assert conversation.acks("eds") == []
    assert conversation.session.is_in_sync


def test_endpoints_asked_for_after_clusters_are_not_sent_again(catalogue: MemoryCatalogue) -> None:
    """That is the usual reconnect."""
    conversation = Conversation(catalogue)
    assert conversation.asks("cds", holding=holding(catalogue, "cds", "links")) == []
    assert conversation.asks("eds", "links", holding=holding(catalogue, "eds", "links")) == []


def test_a_host_called_meanwhile_is_answered_once_its_cluster_can_be_sent(catalogue: MemoryCatalogue) -> None:
    """Its virtual host alone would lead nowhere."""
    conversation = come_back(catalogue)
    assert conversation.asks("eds", "links", holding=holding(catalogue, "eds", "links")) == ["eds +links"]
    assert conversation.asks("vhds", "out/new") == []
    assert conversation.asks("cds", holding=holding(catalogue, "cds", "links")) == ["cds +new"]
    assert conversation.acks("eds") == []
    assert conversation.asks("eds", "new") == ["eds +new"]
    assert conversation.acks("cds") == []
    assert conversation.acks("eds") == ["vhds +out/new"]
