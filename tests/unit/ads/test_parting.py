"""A cluster that a proxy's routes are moving away from stays as it is, with its endpoints, until they have moved."""

from __future__ import annotations

import pytest

from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import Conversation, resource


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    catalogue = MemoryCatalogue()
    catalogue.put(resource("cds", "v1"), resource("eds", "v1"), resource("vhds", "out/links", ("v1",)))
    return catalogue


@pytest.fixture
def conversation(catalogue: MemoryCatalogue) -> Conversation:
    """A proxy that calls the first version."""
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("vhds", "out/links") == ["cds +v1"]
    assert conversation.asks("eds", "v1") == ["eds +v1"]
    assert conversation.acks("cds") == []
    assert conversation.acks("eds") == ["vhds +out/links"]
    assert conversation.acks("vhds") == []
    return conversation


def test_endpoints_that_vanish_with_the_routes_to_them_vanish_after_those(
    catalogue: MemoryCatalogue, conversation: Conversation
) -> None:
    """The old routes are in use until the new ones are taken."""
    emptied = catalogue.put(resource("cds", "v1", n=2), resource("eds", "v1", n=2))
    moved = catalogue.put(resource("cds", "all"), resource("eds", "all"), resource("vhds", "out/links", ("all",)))
    assert conversation.publishes(emptied | moved) == ["cds +all"]
    assert conversation.asks("eds", "all") == ["eds +all"]
    assert conversation.acks("cds") == []
    assert conversation.acks("eds") == ["vhds +out/links"]
    assert conversation.acks("vhds") == ["cds -v1"]
    assert conversation.drops("eds", "v1") == []
    assert conversation.acks("cds") == []
    assert conversation.session.is_in_sync
    assert conversation.session.reached_revision == conversation.revision


def test_routes_that_are_refused_get_the_endpoints_of_what_they_hold(
    catalogue: MemoryCatalogue, conversation: Conversation
) -> None:
    """Else they would lead to instances that have gone."""
    changed = catalogue.put(resource("eds", "v1", n=2))
    moved = catalogue.put(resource("vhds", "out/links"))
    assert conversation.publishes(changed | moved) == ["vhds +out/links"]
    assert conversation.nacks("vhds") == ["refused vhds out/links: bad", "eds +v1"]


def test_a_cluster_that_warms_gets_the_endpoints_that_it_had(
    catalogue: MemoryCatalogue, conversation: Conversation
) -> None:
    """Envoy acknowledges no other cluster before."""
    anew = conversation.publishes(catalogue.put(resource("cds", "v1", n=2)))
    assert anew == ["cds +v1", "eds +v1"]
    emptied = catalogue.put(resource("eds", "v1", n=2))
    moved = catalogue.put(resource("cds", "all"), resource("eds", "all"), resource("vhds", "out/links", ("all",)))
    assert conversation.publishes(emptied | moved) == ["cds +all"]
    assert conversation.acks("cds") == []
    assert conversation.acks("eds") == []
