"""A chain is trusted when every link up to a believed root holds, and not otherwise."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from byway.identity.bundle import TrustBundle, UntrustedChain, trust_bundle, trusted_leaf
from byway.identity.certificate import MalformedCertificate

WEB = "spiffe://cluster.local/ns/default/sa/web"


def test_a_bundle_is_a_set_of_roots(make: Any) -> None:
    """Order and repetition do not matter, and the PEM text gives the same bundle again."""
    old, new = make(name="old", is_ca=True), make(name="new", is_ca=True)
    bundle = trust_bundle(old.pem + new.pem)
    assert bundle == trust_bundle(new.pem + old.pem + new.pem)
    assert trust_bundle(bundle.pem) == bundle
    assert trust_bundle(old.pem) | trust_bundle(new.pem) == bundle
    assert bundle & trust_bundle(new.pem) == trust_bundle(new.pem)
    assert trust_bundle(old.pem) & trust_bundle(new.pem) == TrustBundle(())


def test_a_leaf_is_no_root(make: Any) -> None:
    """A bundle with a certificate that may not sign is refused whole."""
    with pytest.raises(MalformedCertificate):
        trust_bundle(make(name="root", is_ca=True).pem + make(uris=(WEB,)).pem)


def test_a_leaf_is_trusted_under_its_root_with_and_without_intermediates(make: Any, now: datetime) -> None:
    """Up to the root each certificate is signed by the next; the root may stand in the chain or be left out."""
    root = make(name="root", is_ca=True)
    middle = make(name="middle", is_ca=True, issuer=root)
    bundle = trust_bundle(make(name="other", is_ca=True).pem + root.pem)
    assert str(trusted_leaf(make(uris=(WEB,), issuer=root).pem, bundle, now).identity) == WEB
    below = make(uris=(WEB,), issuer=middle)
    assert str(trusted_leaf(below.pem + middle.pem, bundle, now).identity) == WEB
    assert str(trusted_leaf(below.pem + middle.pem + root.pem, bundle, now).identity) == WEB


def test_a_chain_with_a_gap_or_a_stranger_is_not_trusted(make: Any, now: datetime) -> None:
    """A missing intermediate, a foreign root and a root of the same name with another key are no way up."""
    root, twin = make(name="root", is_ca=True), make(name="root", is_ca=True)
    middle = make(name="middle", is_ca=True, issuer=root)
    below = make(uris=(WEB,), issuer=middle)
    for chain, bundle in [
        (below.pem, trust_bundle(root.pem)),
        (below.pem + middle.pem, trust_bundle(twin.pem)),
        (make(uris=(WEB,), issuer=twin).pem, trust_bundle(root.pem)),
        (make(uris=(WEB,), issuer=root).pem, TrustBundle(())),
    ]:
        with pytest.raises(UntrustedChain):
            trusted_leaf(chain, bundle, now)


def test_a_leaf_cannot_sign_for_another(make: Any, now: datetime) -> None:
    """A certificate without CA:TRUE is no link of a chain, though its signature is good."""
    root = make(name="root", is_ca=True)
    leaf = make(name="leaf", uris=(WEB,), issuer=root)
    forged = make(uris=("spiffe://cluster.local/ns/default/sa/admin",), issuer=leaf)
    with pytest.raises(UntrustedChain):
        trusted_leaf(forged.pem + leaf.pem, trust_bundle(root.pem), now)


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-2), timedelta(days=365)])
def test_a_chain_outside_its_life_is_not_trusted(make: Any, now: datetime, jump: timedelta) -> None:
    """Expired and not yet valid are told with both times, for a wrong clock is the usual cause."""
    root = make(name="root", is_ca=True, not_before=now - timedelta(days=999), not_after=now + timedelta(days=999))
    leaf = make(uris=(WEB,), issuer=root)
    with pytest.raises(UntrustedChain, match="clocks"):
        trusted_leaf(leaf.pem, trust_bundle(root.pem), now + jump)
