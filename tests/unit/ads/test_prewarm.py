"""A process that has just started is given what it is known to call, in the order in which nothing waits for anything."""

from __future__ import annotations

import pytest

from byway.ads.action import Asked
from byway.ads.catalogue import PLACEHOLDER
from byway.ads.event import Requested
from byway.ads.session import ANSWER_DEADLINE_S, MAX_NAMES, PREWARM_PATIENCE_S, Session
from byway.model import names
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import PROXY, TYPES, Conversation, resource, service

TCP = "tcp|10.0.0.1:80"


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    """One service over HTTP and one over TCP, which the proxy is known to call."""
    catalogue = MemoryCatalogue()
    catalogue.put(*service("links"), resource("cds", TCP))
    catalogue.known_names = ((TYPES["vhds"], "out/links"), (TYPES["cds"], TCP), (TYPES["vhds"], "out/nobody"))
    return catalogue


def warmed(catalogue: MemoryCatalogue) -> Conversation:
    """A proxy that has started, and holds all that it is known to call."""
    return Conversation.opened(catalogue, "links")


def test_clusters_come_first_and_virtual_hosts_with_the_answer_that_the_listener_waits_for(
    catalogue: MemoryCatalogue,
) -> None:
    """What the mesh does not have is passed over."""
    conversation = Conversation(catalogue)
    assert conversation.asks("cds") == [f"cds +{TCP} +links"]
    assert conversation.asks("eds", "links") == ["eds +links"]
    assert conversation.acks("eds") == []
    assert conversation.acks("cds") == []
    assert conversation.asks("lds") == ["lds"]
    assert conversation.acks("lds") == []
    assert conversation.asks("vhds") == [f"vhds +out/links +{PLACEHOLDER}"]
    assert conversation.acks("vhds") == []
    assert conversation.session.is_in_sync


def test_the_listener_waits_until_clusters_and_endpoints_are_there(catalogue: MemoryCatalogue) -> None:
    """Ready without them it would make its first call wait."""
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    assert conversation.asks("vhds") == []
    conversation.asks("eds", "links")
    assert conversation.acks("eds") == []
    assert conversation.acks("cds") == [f"vhds +out/links +{PLACEHOLDER}"]


def test_the_listener_does_not_wait_for_ever(catalogue: MemoryCatalogue) -> None:
    """A cluster that is not acknowledged in time makes first calls wait, and nothing else."""
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    conversation.asks("vhds")
    assert conversation.session.is_awaiting_time
    assert conversation.waits(PREWARM_PATIENCE_S) == [f"vhds +{PLACEHOLDER}"]
    assert PREWARM_PATIENCE_S < ANSWER_DEADLINE_S


def test_a_refused_cluster_holds_up_nobody(catalogue: MemoryCatalogue) -> None:
    """Its virtual host cannot be had; the listener opens without it."""
    catalogue.known_names = ((TYPES["vhds"], "out/links"),)
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    conversation.asks("vhds")
    assert conversation.nacks("cds") == ["refused cds links: bad", f"vhds ?out/links +{PLACEHOLDER}"]


def test_a_proxy_that_does_not_use_virtual_hosts_is_in_sync_all_the_same(catalogue: MemoryCatalogue) -> None:
    """What waits for a subscription that is never made holds up no rollout."""
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    conversation.asks("eds", "links")
    conversation.acks("eds")
    conversation.acks("cds")
    conversation.asks("lds")
    conversation.acks("lds")
    conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=2)))
    assert conversation.session.is_in_sync
    assert conversation.session.reached_revision == conversation.revision


def test_changes_reach_what_came_unasked(catalogue: MemoryCatalogue) -> None:
    """As if it had been asked for."""
    conversation = warmed(catalogue)
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=2))) == ["eds +links"]
    conversation.acks("eds")
    assert conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=2))) == ["vhds +out/links"]
    conversation.acks("vhds")
    assert conversation.publishes(catalogue.put(resource("cds", TCP, n=2))) == [f"cds +{TCP}"]
    conversation.acks("cds")
    assert conversation.publishes(catalogue.remove((TYPES["vhds"], "out/links"))) == ["vhds -out/links"]


def test_what_is_known_later_is_not_pushed(catalogue: MemoryCatalogue) -> None:
    """A running proxy has it already, or will ask."""
    conversation = warmed(catalogue)
    more = catalogue.put(*service("users"))
    catalogue.known_names = (*catalogue.known_names, (TYPES["vhds"], "out/users"))
    assert conversation.publishes(more) == []


def test_after_a_reconnect_what_came_unasked_is_kept_and_nothing_is_sent(catalogue: MemoryCatalogue) -> None:
    """Though nobody knows any more why it was sent: the proxy names it as held and does not ask for it."""
    conversation = warmed(catalogue)
    held = {kind: dict(versions) for kind, versions in conversation.told.items()}
    catalogue.known_names = ()
    conversation.reconnects()
    assert conversation.asks("cds", holding=held["cds"]) == []
    assert conversation.asks("lds") == ["lds"]
    assert conversation.asks("vhds", holding=held["vhds"]) == []
    assert conversation.asks("eds", "links", holding=held["eds"]) == []
    conversation.acks("lds")
    assert conversation.waits(60) == []
    assert conversation.session.is_in_sync
    assert conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=2))) == ["vhds +out/links"]
    assert conversation.publishes(catalogue.put(resource("cds", TCP, n=2))) == [f"cds +{TCP}"]


def test_after_a_reconnect_what_was_asked_for_by_another_spelling_goes_with_that(catalogue: MemoryCatalogue) -> None:
    """It did not come unasked, though Envoy names it as held and does not ask for it by that name."""
    catalogue.known_names = ()
    catalogue.spell("out/links", "out/www")
    catalogue.put(resource("vhds", "out/users"))
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("vhds", "out/www") == ["cds +links"]
    conversation.asks("eds", "links")
    conversation.acks("cds")
    assert conversation.acks("eds") == ["vhds +out/links=out/www"]
    held = dict(conversation.told["vhds"])
    conversation.reconnects()
    catalogue.spell("out/users", "out/www")
    conversation.asks("cds")
    conversation.acks("cds")
    assert conversation.asks("vhds", "*", "out/www", holding=held) == ["vhds +out/users=out/www -out/links"]


def test_a_reconnecting_proxy_is_not_prewarmed(catalogue: MemoryCatalogue) -> None:
    """It runs already; what it has not asked for so far it gets when it asks."""
    conversation = Conversation(catalogue)
    catalogue.put(resource("cds", "root"))
    catalogue.set_roots(clusters=("root",))
    version = catalogue.resources[TYPES["cds"], "root"].version
    assert conversation.asks("cds", holding={"root": version}) == []


def test_what_is_known_is_bounded(catalogue: MemoryCatalogue) -> None:
    """Like everything that is asked for."""
    catalogue.put(*(resource("vhds", f"out/{n}") for n in range(MAX_NAMES + 10)))
    catalogue.known_names = tuple((TYPES["vhds"], f"out/{n}") for n in range(MAX_NAMES + 10))
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    assert len(conversation.session.subscriptions[TYPES["vhds"]].asked) == MAX_NAMES


# --- what is asked for is said ---


def asked(session: Session, kind: str, *subscribe: str, holding: dict[str, str] | None = None) -> list[Asked]:
    """What a request makes the session say of names that a call waits for."""
    event = Requested(type_url=TYPES[kind], subscribe=subscribe, initial_versions=holding or {})
    return [action for action in session.step(event, 0) if isinstance(action, Asked)]


def test_a_name_that_a_call_waits_for_is_said_by_the_name_of_its_resource(catalogue: MemoryCatalogue) -> None:
    """Also one that there is not; the placeholder, and what nobody waits for, are not said."""
    catalogue.spell("out/links", "out/links.default")
    catalogue.known_names = ()
    session = Session(catalogue, PROXY)
    assert asked(session, "cds") == asked(session, "vhds") == asked(session, "eds", "links") == []
    assert asked(session, "vhds", "out/links.default") == [Asked(names.TYPE_VIRTUAL_HOST, "out/links", True)]
    assert asked(session, "vhds", "out/nobody") == [Asked(names.TYPE_VIRTUAL_HOST, "out/nobody", False)]
    assert asked(session, "cds", TCP) == [Asked(names.TYPE_CLUSTER, TCP, True)]


def test_names_of_an_earlier_stream_are_not_said_again_but_those_that_got_no_answer_there(
    catalogue: MemoryCatalogue,
) -> None:
    """A call that was made while the control plane was away still waits."""
    catalogue.put(*service("users"))
    version = catalogue.resources[TYPES["vhds"], "out/links"].version
    session = Session(catalogue, PROXY)
    said = asked(session, "vhds", "*", "out/links", "out/users", holding={"out/links": version})
    assert said == [Asked(names.TYPE_VIRTUAL_HOST, "out/users", True)]
