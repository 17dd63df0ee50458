"""Interaction scripts: what a session answers to every word of a proxy. `+` a resource, `-` a removal, `?` no body."""

from __future__ import annotations

import msgspec
import pytest

from byway.ads.catalogue import PLACEHOLDER
from byway.ads.event import Requested
from byway.ads.order import ENDPOINTS_PATIENCE_S
from byway.ads.session import ANSWER_DEADLINE_S, MAX_NAMES, Session
from byway.model import names
from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import PROXY, Conversation, resource, service


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    return MemoryCatalogue()


# --- wildcard subscriptions ---


def test_an_empty_first_subscription_is_wildcard_and_always_answered(catalogue: MemoryCatalogue) -> None:
    """Envoy waits for the answer, even where there is nothing to hold."""
    conversation = Conversation(catalogue)
    assert conversation.asks("cds") == ["cds"]
    assert conversation.asks("lds") == ["lds"]
    assert conversation.acks("cds") == conversation.acks("lds") == []
    assert conversation.session.is_in_sync


def test_an_explicit_star_is_wildcard_too(catalogue: MemoryCatalogue) -> None:
    """With names asked for on demand beside it."""
    catalogue.put(resource("cds", "root"), resource("cds", "tcp|10.0.0.1:80"))
    catalogue.set_roots(clusters=("root",))
    assert Conversation(catalogue).asks("cds", "*", "tcp|10.0.0.1:80") == ["cds +root +tcp|10.0.0.1:80"]


def test_a_listener_waits_for_its_clusters(catalogue: MemoryCatalogue) -> None:
    """They come on the wildcard subscription, without having been asked for by name."""
    catalogue.put(resource("cds", "out"), resource("eds", "out"), resource("lds", "main", ("out",)))
    catalogue.set_roots(listeners=("main",))
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    conversation.acks("cds")
    assert conversation.asks("lds") == ["cds +out"]
    assert conversation.asks("eds", "out") == ["eds +out"]
    assert conversation.acks("eds") == []
    assert conversation.acks("cds") == ["lds +main"]


def test_a_listener_that_is_no_root_any_more_is_removed_before_its_cluster(catalogue: MemoryCatalogue) -> None:
    """The cluster goes only when the removal of the listener is acknowledged."""
    catalogue.put(resource("cds", "out"), resource("lds", "main", ("out",)))
    catalogue.set_roots(listeners=("main",))
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    conversation.acks("cds")
    conversation.asks("lds")
    conversation.acks("cds")
    conversation.acks("lds")
    assert conversation.publishes(catalogue.set_roots()) == ["lds -main"]
    assert conversation.acks("lds") == ["cds -out"]


# --- virtual hosts on demand ---


def test_the_first_empty_subscription_to_virtual_hosts_gets_the_placeholder(catalogue: MemoryCatalogue) -> None:
    """It is no wildcard: nothing else is sent."""
    catalogue.put(*service("links"))
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    assert conversation.asks("vhds") == [f"vhds +{PLACEHOLDER}"]


def test_a_new_host_is_answered_after_cluster_and_endpoints(catalogue: MemoryCatalogue) -> None:
    """Make before break, from nothing."""
    catalogue.put(*service("links"))
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("vhds", "out/links") == ["cds +links"]
    assert conversation.asks("eds", "links") == ["eds +links"]
    assert conversation.acks("eds") == []  # Envoy acknowledges the cluster only now, when it is warm
    assert conversation.acks("cds") == ["vhds +out/links"]
    assert conversation.acks("vhds") == []
    assert conversation.session.is_in_sync


def test_a_host_whose_cluster_is_there_is_answered_at_once(catalogue: MemoryCatalogue) -> None:
    """Only a first call waits."""
    catalogue.put(*service("links"), resource("vhds", "out/alias", ("links",)))
    conversation = Conversation.opened(catalogue)
    conversation.asks("vhds", "out/links")
    conversation.asks("eds", "links")
    conversation.acks("eds")
    conversation.acks("cds")
    assert conversation.asks("vhds", "out/alias") == ["vhds +out/alias"]


def test_every_spelling_of_a_host_gets_the_same_resource(catalogue: MemoryCatalogue) -> None:
    """Two virtual hosts with a domain in common would refuse each other; so it is one, with aliases."""
    catalogue.put(resource("vhds", "out/links.default"))
    catalogue.spell("out/links.default", "out/links")
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("vhds", "out/links") == ["vhds +out/links.default=out/links"]
    assert conversation.asks("vhds", "out/links.default") == []  # the first is still on its way
    assert conversation.acks("vhds") == ["vhds +out/links.default=out/links"]


def test_an_unknown_host_is_answered_without_a_body_and_pushed_when_it_is_created(catalogue: MemoryCatalogue) -> None:
    """Envoy will not ask again."""
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("vhds", "out/links") == ["vhds ?out/links"]
    assert conversation.acks("vhds") == []
    assert conversation.session.is_in_sync
    assert conversation.publishes(catalogue.put(*service("links"))) == ["cds +links"]
    conversation.asks("eds", "links")
    conversation.acks("eds")
    assert conversation.acks("cds") == ["vhds +out/links"]


def test_a_deleted_host_is_removed_and_then_answered_without_a_body(catalogue: MemoryCatalogue) -> None:
    """Envoy takes the body away only by a removal; the entry lets a reconnect know that it was told."""
    catalogue.put(resource("vhds", "out/links"))
    conversation = Conversation.opened(catalogue)
    conversation.asks("vhds", "out/links")
    conversation.acks("vhds")
    assert conversation.publishes(catalogue.remove((names.TYPE_VIRTUAL_HOST, "out/links"))) == ["vhds -out/links"]
    assert conversation.acks("vhds") == ["vhds ?out/links"]
    assert conversation.acks("vhds") == []
    assert conversation.publishes(catalogue.put(resource("vhds", "out/links"))) == ["vhds +out/links"]


# --- clusters and endpoints ---


def test_a_cluster_on_demand_is_answered_by_name(catalogue: MemoryCatalogue) -> None:
    """And a change of it is pushed."""
    catalogue.put(resource("cds", "tcp|10.0.0.1:80"))
    conversation = Conversation.opened(catalogue)
    assert conversation.asks("cds", "tcp|10.0.0.1:80") == ["cds +tcp|10.0.0.1:80"]
    conversation.acks("cds")
    assert conversation.publishes(catalogue.put(resource("cds", "tcp|10.0.0.1:80", n=2))) == ["cds +tcp|10.0.0.1:80"]


def test_a_changed_cluster_takes_its_unchanged_endpoints_along(catalogue: MemoryCatalogue) -> None:
    """It warms anew, and Envoy does not ask for them a second time."""
    conversation = warm_links(catalogue)
    assert conversation.publishes(catalogue.put(resource("cds", "links", n=2))) == ["cds +links", "eds +links"]


def test_endpoints_change_alone_and_at_once(catalogue: MemoryCatalogue) -> None:
    """Even while the cluster waits for its acknowledgement."""
    conversation = warm_links(catalogue)
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=2))) == ["eds +links"]


def test_changes_meanwhile_become_one(catalogue: MemoryCatalogue) -> None:
    """One version of a resource is on its way at a time; the proxy gets only the newest of those that follow."""
    conversation = warm_links(catalogue)
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=2))) == ["eds +links"]
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=3))) == []
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=4))) == []
    assert conversation.acks("eds") == ["eds +links"]
    assert conversation.acks("eds") == []


def test_a_route_moves_before_its_old_cluster_goes(catalogue: MemoryCatalogue) -> None:
    """New cluster, its endpoints, the route, and only then the removal."""
    conversation = warm_links(catalogue)
    keys = catalogue.put(resource("cds", "v2"), resource("eds", "v2"), resource("vhds", "out/links", ("v2",)))
    assert conversation.publishes(keys) == ["cds +v2"]
    conversation.asks("eds", "v2")
    conversation.acks("eds")
    assert conversation.acks("cds") == ["vhds +out/links"]
    assert conversation.acks("vhds") == ["cds -links"]


def test_a_route_waits_for_a_changed_cluster_that_it_has_already(catalogue: MemoryCatalogue) -> None:
    """Cluster and route of one change become effective in this order."""
    conversation = warm_links(catalogue)
    keys = catalogue.put(resource("cds", "links", n=2), resource("vhds", "out/links", ("links",), n=2))
    assert conversation.publishes(keys) == ["cds +links", "eds +links"]
    conversation.acks("eds")
    assert conversation.acks("cds") == ["vhds +out/links"]


def test_endpoints_that_nobody_asks_for_are_not_waited_for_for_ever(catalogue: MemoryCatalogue) -> None:
    """The catalogue says EDS, but the proxy acknowledges without asking."""
    catalogue.put(*service("links"))
    conversation = Conversation.opened(catalogue)
    conversation.asks("vhds", "out/links")
    assert conversation.acks("cds") == []
    assert conversation.waits(ENDPOINTS_PATIENCE_S) == ["vhds +out/links"]


def test_an_unsubscribed_name_is_forgotten_and_answered_anew(catalogue: MemoryCatalogue) -> None:
    """Envoy gives up the endpoints of a removed cluster by itself."""
    conversation = warm_links(catalogue)
    assert conversation.drops("eds", "links") == []
    assert conversation.publishes(catalogue.put(resource("eds", "links", n=2))) == []
    assert conversation.asks("eds", "links") == ["eds +links"]


def test_a_resubscribed_name_is_answered_though_its_version_is_held(catalogue: MemoryCatalogue) -> None:
    """Whoever asks gets an answer."""
    conversation = warm_links(catalogue)
    assert conversation.asks("eds", "links") == ["eds +links"]


def warm_links(catalogue: MemoryCatalogue) -> Conversation:
    """A proxy that has called `links`."""
    catalogue.put(*service("links"))
    conversation = Conversation.opened(catalogue)
    conversation.asks("vhds", "out/links")
    conversation.asks("eds", "links")
    conversation.acks("eds")
    conversation.acks("cds")
    conversation.acks("vhds")
    assert conversation.session.is_in_sync
    return conversation


# --- refusals ---


def test_a_refused_response_is_sent_again_one_by_one(catalogue: MemoryCatalogue) -> None:
    """So one bad resource holds up nobody, and is known by name."""
    catalogue.put(resource("cds", "a"), resource("cds", "b"), resource("cds", "c"))
    catalogue.set_roots(clusters=("a", "b", "c"))
    conversation = Conversation(catalogue)
    assert conversation.asks("cds") == ["cds +a +b +c"]
    assert conversation.nacks("cds") == ["cds +a", "cds +b", "cds +c"]
    assert conversation.acks("cds") == []
    assert conversation.nacks("cds", "no port") == ["refused cds b: no port"]
    assert conversation.acks("cds") == []
    assert [name for _, name, _ in conversation.session.rejections()] == ["b"]


def test_a_refused_resource_is_not_sent_again_before_it_changes(catalogue: MemoryCatalogue) -> None:
    """No loop of refusals; the change heals it."""
    conversation = warm_links(catalogue)
    bad = catalogue.put(resource("vhds", "out/links", ("links",), n=2))
    assert conversation.publishes(bad) == ["vhds +out/links"]
    assert conversation.nacks("vhds") == ["refused vhds out/links: bad"]
    assert conversation.publishes(bad) == conversation.waits(30) == []
    assert not conversation.session.is_in_sync
    assert conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=3))) == ["vhds +out/links"]
    assert conversation.acks("vhds") == []
    assert conversation.session.is_in_sync


def test_a_refused_resource_that_becomes_its_last_good_is_healed_without_a_word(catalogue: MemoryCatalogue) -> None:
    """The proxy holds that one already."""
    conversation = warm_links(catalogue)
    conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=2)))
    conversation.nacks("vhds")
    assert conversation.publishes(catalogue.put(resource("vhds", "out/links", ("links",), n=1))) == []
    assert conversation.session.is_in_sync


def test_a_new_host_with_a_refused_cluster_is_answered_without_a_body(catalogue: MemoryCatalogue) -> None:
    """A caller gets its 404 instead of a wait; once the cluster is mended, the host follows."""
    catalogue.put(*service("links"))
    conversation = Conversation.opened(catalogue)
    conversation.asks("vhds", "out/links")
    assert conversation.nacks("cds") == ["refused cds links: bad", "vhds ?out/links"]
    conversation.acks("vhds")
    assert conversation.publishes(catalogue.put(resource("cds", "links", n=2))) == ["cds +links"]
    conversation.asks("eds", "links")
    conversation.acks("eds")
    assert conversation.acks("cds") == ["vhds +out/links"]


def test_answers_to_unknown_nonces_change_nothing(catalogue: MemoryCatalogue) -> None:
    """Late, repeated and invented ones."""
    conversation = warm_links(catalogue)
    for error in (None, "late"):
        event = Requested(type_url=names.TYPE_CLUSTER, nonce="999", error=error)
        assert conversation.session.step(event, 0.0) == []
    assert conversation.session.is_in_sync


# --- clients that are no sidecars ---


def test_without_a_wildcard_of_clusters_routes_do_not_wait(catalogue: MemoryCatalogue) -> None:
    """A gRPC client asks for its clusters by name, after the routes."""
    catalogue.put(resource("rds", "routes", ("links",)), *service("links"))
    conversation = Conversation(catalogue, msgspec.structs.replace(PROXY, kind="grpc"))
    assert conversation.asks("rds", "routes") == ["rds +routes"]
    assert conversation.asks("cds", "links") == ["cds +links"]
    assert conversation.asks("eds", "links") == ["eds +links"]


# --- bounds ---


def test_an_unserved_type_ends_the_stream() -> None:
    """Bad input becomes a status."""
    session = Session(MemoryCatalogue(), PROXY)
    (close,) = session.step(Requested(type_url="type.googleapis.com/nonsense"), 0.0)
    assert (close.__class__.__name__, getattr(close, "code", "")) == ("Close", "INVALID_ARGUMENT")


def test_too_many_names_end_the_stream(catalogue: MemoryCatalogue) -> None:
    """The table of a stream is bounded."""
    conversation = Conversation(catalogue)
    lines = conversation.asks("vhds", *(f"out/{n}" for n in range(MAX_NAMES + 1)))
    assert lines == [f"close RESOURCE_EXHAUSTED: more than {MAX_NAMES} names of one type on a stream"]


def test_a_proxy_that_does_not_answer_is_cut_off(catalogue: MemoryCatalogue) -> None:
    """The deadline is longer than Envoy's own wait for a cluster."""
    conversation = Conversation(catalogue)
    conversation.asks("cds")
    assert conversation.waits(ANSWER_DEADLINE_S) == []
    assert conversation.waits(1) == ["close DEADLINE_EXCEEDED: no answer to a response within 60 s"]


def test_a_change_elsewhere_asks_the_catalogue_nothing(catalogue: MemoryCatalogue) -> None:
    """Work follows what a change touches."""
    conversation = warm_links(catalogue)
    before = catalogue.n_lookups
    assert conversation.publishes(catalogue.put(*service("other"))) == []
    assert catalogue.n_lookups == before
    conversation.publishes(catalogue.put(resource("eds", "links", n=2)))
    assert catalogue.n_lookups == before + 1
