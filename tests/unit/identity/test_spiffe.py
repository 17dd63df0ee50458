"""A SPIFFE id is read strictly: one text, one identity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.identity.spiffe import MalformedSpiffeId, SpiffeId, TrustDomain, parse_spiffe_id, workload_id

_segments = st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True).filter(lambda s: s not in (".", ".."))
_domains = st.from_regex(r"[a-z0-9._-]{1,60}", fullmatch=True)
_ids = st.builds(
    lambda domain, segments: SpiffeId(TrustDomain(domain), "".join(f"/{s}" for s in segments)),
    _domains,
    st.lists(_segments, max_size=6),
)


@given(_ids)
def test_a_formatted_id_parses_to_itself(identity: SpiffeId) -> None:
    """Formatting and parsing are inverse."""
    assert parse_spiffe_id(str(identity)) == identity


@given(st.one_of(st.text(max_size=80), st.text(max_size=80).map("spiffe://a".__add__), _ids.map(str)))
def test_whatever_parses_is_spelled_exactly_as_it_was_given(text: str) -> None:
    """No text is normalised: it is an id as it stands, or none."""
    try:
        identity = parse_spiffe_id(text)
    except MalformedSpiffeId:
        return
    assert str(identity) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe:///ns/a/sa/b",
        "SPIFFE://cluster.local/ns/a/sa/b",
        "https://cluster.local/ns/a/sa/b",
        "spiffe://Cluster.local/ns/a/sa/b",
        "spiffe://cluster.local:443/ns/a/sa/b",
        "spiffe://user@cluster.local/ns/a/sa/b",
        "spiffe://cluster.local/",
        "spiffe://cluster.local/ns/a/sa/b/",
        "spiffe://cluster.local//ns/a/sa/b",
        "spiffe://cluster.local/ns/./sa/b",
        "spiffe://cluster.local/ns/../sa/b",
        "spiffe://cluster.local/ns/a%2fb/sa/c",
        "spiffe://cluster.local/ns/a/sa/b?x=1",
        "spiffe://cluster.local/ns/a/sa/b#x",
        "spiffe://cluster.local/ns/a/sa/b\x00",
        "spiffe://cluster.local/ns/a/sa/b\n",
        "spiffe://cluster.local\n/ns/a/sa/b",
        "spiffe://cluster.local/ns/a/sa/é",
        "spiffe://clüster.local/ns/a/sa/b",
        " spiffe://cluster.local/ns/a/sa/b",
        "spiffe://" + "d" * 256 + "/ns/a/sa/b",
        "spiffe://cluster.local/" + "p" * 2048,
    ],
)
def test_a_text_that_breaks_a_rule_is_no_id(text: str) -> None:
    """Each row breaks one rule of the standard, and the message is one bounded line."""
    with pytest.raises(MalformedSpiffeId) as caught:
        parse_spiffe_id(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_longest_id_has_2048_bytes() -> None:
    """The bound is inclusive."""
    text = "spiffe://cluster.local/" + "p" * (2048 - len("spiffe://cluster.local/"))
    assert len(str(parse_spiffe_id(text))) == 2048


def test_a_workload_is_named_by_namespace_and_service_account() -> None:
    """The path is Istio's, and service accounts may have dots."""
    identity = workload_id("cluster.local", "default", "link.service")
    assert str(identity) == "spiffe://cluster.local/ns/default/sa/link.service"
    assert identity.workload == ("default", "link.service")
    assert workload_id(TrustDomain("cluster.local"), "default", "link.service") == identity


@pytest.mark.parametrize("path", ["", "/ns/a", "/ns/a/sa", "/ns/a/sa/b/c", "/sa/b/ns/a", "/ns/a/SA/b"])
def test_any_other_path_names_no_workload(path: str) -> None:
    """A path of another shape is an identity all the same."""
    assert SpiffeId(TrustDomain("td"), path).workload is None


@pytest.mark.parametrize(("namespace", "account"), [("a/sa/x", "b"), ("a", "b/c"), ("", "b"), ("a", ".."), ("a", "")])
def test_a_name_cannot_smuggle_in_a_path(namespace: str, account: str) -> None:
    """A namespace or account with a slash, or without a letter, is refused."""
    with pytest.raises(MalformedSpiffeId):
        workload_id("cluster.local", namespace, account)


def test_a_malformed_id_cannot_be_constructed() -> None:
    """The type itself holds the invariant."""
    with pytest.raises(MalformedSpiffeId):
        SpiffeId(TrustDomain("td"), "ns/a")
    with pytest.raises(MalformedSpiffeId):
        TrustDomain("")
