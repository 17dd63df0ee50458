"""What a proxy is offered where discovery is eager: it is held without being asked for, and goes when the offer ends."""

from __future__ import annotations

import pytest

from byway.ads.catalogue import PLACEHOLDER
from byway.ads.session import MAX_NAMES
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import TYPES, Conversation, resource, service

TCP = "tcp|10.0.0.1:80"


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    """A service over HTTP and one over TCP, both offered."""
    catalogue = MemoryCatalogue()
    catalogue.put(*service("links"), *service("users"), resource("cds", TCP))
    catalogue.set_offer(clusters=(TCP,), virtual_hosts=("out/links",))
    return catalogue


def full(catalogue: MemoryCatalogue) -> Conversation:
    """A proxy that has started, and holds all that it is offered."""
    return Conversation.opened(catalogue, "links")


def held(conversation: Conversation, kind: str) -> dict[str, str]:
    """What the proxy names after a reconnect."""
    return {name: unit.version for name, unit in conversation.session.subscriptions[TYPES[kind]].held.items()}


def test_a_starting_proxy_gets_all_of_it_before_its_listener_opens(catalogue: MemoryCatalogue) -> None:
    """Clusters with the first answer, and virtual hosts with the one that the listener waits for."""
    conversation = Conversation(catalogue)
    assert conversation.asks("cds") == [f"cds +{TCP} +links"]
    assert conversation.asks("eds", "links") == ["eds +links"]
    conversation.acks("eds")
    conversation.acks("cds")
    conversation.asks("lds")
    conversation.acks("lds")
    assert conversation.asks("vhds") == [f"vhds +out/links +{PLACEHOLDER}"]
    conversation.acks("vhds")
    assert conversation.session.is_in_sync
    assert conversation.session.subscriptions[TYPES["vhds"]].asked == {PLACEHOLDER: None}


def test_what_joins_the_offer_is_sent_and_what_leaves_it_is_taken_away(catalogue: MemoryCatalogue) -> None:
    """The cluster after the virtual host that led there."""
    conversation = full(catalogue)
    assert conversation.publishes(catalogue.set_offer(clusters=(TCP,), virtual_hosts=("out/links", "out/users"))) == [
        "cds +users"
    ]
    assert conversation.asks("eds", "users") == ["eds +users"]
    conversation.acks("eds")
    assert conversation.acks("cds") == ["vhds +out/users"]
    conversation.acks("vhds")
    gone = catalogue.remove((TYPES["vhds"], "out/links"), (TYPES["cds"], "links"), (TYPES["eds"], "links"))
    left = catalogue.set_offer(virtual_hosts=("out/users",))
    assert conversation.publishes(gone | left) == [f"cds -{TCP}", "vhds -out/links"]
    conversation.acks("cds")
    assert conversation.acks("vhds") == ["cds -links"]


def test_what_the_application_asked_for_stays_when_the_offer_ends(catalogue: MemoryCatalogue) -> None:
    """A proxy that becomes lazy keeps what it has asked for by name; the rest it will ask for."""
    conversation = full(catalogue)
    catalogue.spell("out/links", "out/links.default")
    conversation.asks("vhds", "out/links.default")
    conversation.acks("vhds")
    assert conversation.publishes(catalogue.set_offer()) == [f"cds -{TCP}"]
    conversation.acks("cds")
    assert conversation.asks("cds", TCP) == [f"cds +{TCP}"]


def test_after_a_reconnect_nothing_is_sent_and_what_has_left_the_offer_goes(catalogue: MemoryCatalogue) -> None:
    """In whatever order the proxy subscribes."""
    for order in (("cds", "lds", "vhds", "eds"), ("vhds", "eds", "cds", "lds")):
        conversation = full(catalogue)
        holding = {kind: held(conversation, kind) for kind in TYPES}
        conversation.reconnects()
        lines = [
            line
            for kind in order
            for line in conversation.asks(kind, *(("links",) if kind == "eds" else ()), holding=holding[kind])
        ]
        assert [line for line in lines if not line.startswith(("lds", "eds"))] == []
        assert conversation.session.subscriptions[TYPES["vhds"]].asked == {PLACEHOLDER: None}
        assert conversation.waits(60) == []
        assert conversation.publishes(catalogue.set_offer(virtual_hosts=("out/links",))) == [f"cds -{TCP}"]
        catalogue.set_offer(clusters=(TCP,), virtual_hosts=("out/links",))


def test_an_offer_may_have_more_names_than_a_proxy_may_ask_for(catalogue: MemoryCatalogue) -> None:
    """Their endpoints are asked for by name; what is not a cluster's still counts."""
    names = [f"s{n}" for n in range(MAX_NAMES + 10)]
    catalogue.put(*(r for name in names for r in service(name)))
    catalogue.set_offer(virtual_hosts=tuple(f"out/{name}" for name in names))
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    assert len(conversation.session.subscriptions[TYPES["cds"]].wanted) == len(names)
    assert not [line for line in conversation.asks("eds", *names) if line.startswith("close")]
    more = conversation.asks("eds", *(f"other{n}" for n in range(MAX_NAMES + len(names))))
    assert more == [f"close RESOURCE_EXHAUSTED: more than {MAX_NAMES} names of one type on a stream"]
