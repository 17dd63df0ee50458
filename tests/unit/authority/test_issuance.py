"""A leaf says what the CA's terms and the attested identity say, and nothing that was asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from byway.authority.issuance import AuthorityExpired, LeafTemplate, RefusedLife, Terms, leaf_template
from byway.base.duration import Duration
from byway.identity.bundle import trusted_leaf
from byway.identity.certificate import certificates
from byway.identity.spiffe import workload_id

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WEB = workload_id("cluster.local", "default", "web")
YEARS = (NOW - timedelta(days=1), NOW + timedelta(days=3650))


def template(
    wished_s: int, terms: Terms | None = None, now: datetime = NOW, ca_life: tuple[datetime, datetime] = YEARS
) -> LeafTemplate:
    return leaf_template(WEB, (), now=now, wished_s=wished_s, serial=7, terms=terms or Terms(), ca_life=ca_life)


@pytest.mark.parametrize(
    ("wished_s", "given_s"),
    [(0, 86_400), (10, 10), (3600, 3600), (86_401, 86_400), (100 * 365 * 86_400, 86_400), (2**63 - 1, 86_400)],
)
def test_a_life_is_what_was_wished_up_to_the_longest(wished_s: int, given_s: int) -> None:
    """No wish gives the usual life, a hundred years give a day; it is counted from now, the start is set back."""
    made = template(wished_s)
    assert made.not_after == NOW + timedelta(seconds=given_s)
    assert made.not_before == NOW - timedelta(seconds=60)


@pytest.mark.parametrize("wished_s", [-1, -(2**63), 1, 9])
def test_a_negative_or_tiny_life_is_refused(wished_s: int) -> None:
    """Below ten seconds nothing could be renewed in time."""
    with pytest.raises(RefusedLife):
        template(wished_s)


def test_terms_can_make_all_lives_short() -> None:
    """A mesh that rotates every minute does so whatever its agents wish."""
    minute = Terms(usual=Duration.of(seconds=60), longest=Duration.of(seconds=60))
    assert template(0, minute).not_after == template(86_400, minute).not_after == NOW + timedelta(seconds=60)


def test_a_leaf_never_outlives_its_ca() -> None:
    """The last leaves of a CA end with it, and after that there are none."""
    end = NOW + timedelta(hours=1)
    assert template(0, ca_life=(YEARS[0], end)).not_after == end
    for moment in (end, end + timedelta(days=1), YEARS[0] - timedelta(days=1)):
        with pytest.raises(AuthorityExpired, match="set the clock right"):
            template(0, now=moment, ca_life=(YEARS[0], end))


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_wish_is_refused_or_ends_within_the_terms(wished_s: int) -> None:
    """There is no integer that buys more than a day."""
    try:
        made = template(wished_s)
    except RefusedLife:
        return
    assert timedelta(seconds=10) <= made.not_after - NOW <= timedelta(days=1)


def test_a_signed_leaf_is_an_x509_svid(authority: Any, clock: Any) -> None:
    """One URI name, critical because there is no subject; no CA; digital signature; for servers and clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    chain = authority.issue(WEB, key.public_key(), via="test")
    assert trusted_leaf(chain, authority.bundle, clock.now()).identity == WEB
    (leaf,) = certificates(chain)
    assert leaf.subject == x509.Name([])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier(str(WEB))]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert leaf.public_key() == key.public_key()
