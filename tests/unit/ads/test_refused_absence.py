"""Interaction scripts of a proxy that refuses what cannot be taken back."""

from __future__ import annotations

import pytest

from byway.testing.memory_catalogue import MemoryCatalogue
from tests.unit.ads.conversation import Conversation, service


@pytest.fixture
def catalogue() -> MemoryCatalogue:
    return MemoryCatalogue()


@pytest.mark.parametrize("has_refused_version", [False, True])
def test_a_proxy_that_refuses_even_absence_is_not_told_it_again(
    catalogue: MemoryCatalogue, *, has_refused_version: bool
) -> None:
    """It would be a loop at the speed of the stream."""
    conversation = Conversation.opened(catalogue)
    if has_refused_version:
        catalogue.put(*service("links"))
        conversation.asks("vhds", "out/links")
        conversation.asks("eds", "links")
        conversation.acks("eds")
        assert conversation.acks("cds") == ["vhds +out/links"]
        assert conversation.nacks("vhds") == ["refused vhds out/links: bad", "vhds ?out/links"]
    else:
        assert conversation.asks("vhds", "out/links") == ["vhds ?out/links"]
    assert conversation.nacks("vhds") == ["refused vhds out/links: bad"]
    assert conversation.waits(1) == []
    moved = catalogue.put(*service("links", n=2))
    lines = conversation.publishes(moved)
    if not has_refused_version:
        lines += conversation.asks("eds", "links")
    for kind in ("cds", "eds"):
        while conversation.unanswered[kind]:
            lines += conversation.acks(kind)
    assert "vhds +out/links" in lines
