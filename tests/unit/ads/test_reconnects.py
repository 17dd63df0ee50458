"""A proxy comes back with what it holds: it gets what differs, and nothing else."""

from __future__ import annotations

import pytest

from byway.ads.catalogue import PLACEHOLDER
from byway.ads.order import INHERITANCE_GRACE_S
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import Conversation, holding, resource, service
from tests.unit.ads.test_session import warm_links


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    return MemoryCatalogue()


def test_a_reconnect_with_nothing_changed_sends_nothing(catalogue: MemoryCatalogue) -> None:
    """Known, unknown and standing names."""
    conversation = warm_links(catalogue)
    conversation.asks("vhds", "out/nobody")
    conversation.reconnects()
    assert conversation.asks("cds", holding=holding(catalogue, "cds", "links")) == []
    assert conversation.asks("lds", holding={"main": "1"}) == ["lds -main"]
    virtual_hosts = holding(catalogue, "vhds", "out/links", PLACEHOLDER) | {"out/nobody": "absent"}
    assert conversation.asks("vhds", "*", "out/links", "out/nobody", holding=virtual_hosts) == []
    assert conversation.asks("eds", "links", holding=holding(catalogue, "eds", "links")) == []
    assert conversation.acks("lds") == []
    assert conversation.session.is_in_sync


def test_a_reconnect_sends_what_differs(catalogue: MemoryCatalogue) -> None:
    """A changed cluster takes its endpoints along here, too, though their version is the same."""
    conversation = warm_links(catalogue)
    held = holding(catalogue, "cds", "links"), holding(catalogue, "vhds", "out/links", PLACEHOLDER)
    endpoints = holding(catalogue, "eds", "links")
    catalogue.put(resource("cds", "links", n=2))
    conversation.reconnects()
    conversation.asks("cds", holding=held[0])
    conversation.asks("lds")
    assert conversation.asks("vhds", "*", "out/links", holding=held[1]) == ["cds +links"]
    assert conversation.asks("eds", "links", holding=endpoints) == ["eds +links"]


def test_a_cluster_still_warming_at_the_reconnect_is_waited_for(catalogue: MemoryCatalogue) -> None:
    """The proxy holds the cluster, but never got its endpoints."""
    catalogue.put(*service("links"))
    conversation = Conversation(catalogue)
    conversation.asks("cds", holding=holding(catalogue, "cds", "links"))
    conversation.asks("lds", holding={})
    assert conversation.asks("vhds", "*", "out/links", holding=holding(catalogue, "vhds", PLACEHOLDER)) == []
    assert conversation.asks("eds", "links") == ["eds +links"]
    assert conversation.acks("eds") == ["vhds +out/links"]


def test_clusters_of_an_earlier_stream_stay_for_a_grace(catalogue: MemoryCatalogue) -> None:
    """Which routes need them is known only when those have been subscribed again."""
    conversation = Conversation(catalogue)
    assert conversation.asks("cds", holding={"old": "1"}) == []
    assert conversation.asks("lds", holding={"gone": "1"}) == ["lds -gone"]
    assert conversation.acks("lds") == []
    assert conversation.waits(INHERITANCE_GRACE_S) == ["cds -old"]


def test_a_host_deleted_meanwhile_is_removed(catalogue: MemoryCatalogue) -> None:
    """The proxy names what it holds, the catalogue no more."""
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    held = holding(catalogue, "vhds", PLACEHOLDER) | {"out/links": "1"}
    assert conversation.asks("vhds", "*", "out/links", holding=held) == ["vhds -out/links"]
    assert conversation.acks("vhds") == ["vhds ?out/links"]
