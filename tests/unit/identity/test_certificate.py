"""A leaf is read by the rules of an X.509-SVID, or not at all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from byway.identity.certificate import MalformedCertificate, certificates, chain_facts

WEB = "spiffe://cluster.local/ns/default/sa/web"


def test_the_facts_of_a_leaf_are_those_it_states(make: Any, now: datetime) -> None:
    """Identity, life, serial number and names come from the first certificate of the chain."""
    root = make(name="root", is_ca=True)
    leaf = make(uris=(WEB,), dns=("localhost",), issuer=root)
    facts = chain_facts(leaf.pem + root.pem)
    assert str(facts.identity) == WEB
    assert (facts.not_before, facts.not_after) == (now - timedelta(hours=1), now + timedelta(hours=1))
    assert facts.serial == f"{leaf.certificate.serial_number:x}"
    assert facts.issuer == "CN=root"
    assert facts.dns_names == ("localhost",)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"uris": (WEB, WEB + "2")}, "2 URI names"),
        ({"dns": ("web",)}, "0 URI names"),
        ({}, "no subject alternative name"),
        ({"uris": (WEB,), "is_ca": True}, "CA certificate"),
        ({"uris": (WEB,), "may_sign": True}, "CA certificate"),
        ({"uris": ("spiffe://cluster.local",)}, "trust domain instead of a workload"),
        ({"uris": (WEB + "\x00.evil",)}, "other characters"),
        ({"uris": ("https://cluster.local/ns/a/sa/b",)}, "does not start with spiffe"),
    ],
)
def test_a_leaf_that_breaks_a_rule_is_refused(make: Any, shape: dict[str, Any], reason: str) -> None:
    """No URI, two of them, CA:TRUE, keyCertSign, a NUL: each has its own message."""
    with pytest.raises(MalformedCertificate, match=reason):
        chain_facts(make(name="x", **shape).pem)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"garbage",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n",
        b"\x00" * 300_000,
        b"-----BEGIN CERTIFICATE-----\n" * 65,
    ],
)
def test_bytes_that_are_no_chain_are_refused(pem: bytes) -> None:
    """Garbage, an empty text and one beyond the bounds are the same kind of fault."""
    with pytest.raises(MalformedCertificate):
        certificates(pem)
