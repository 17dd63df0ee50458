"""Real files of Istio's sample application are taken as they are, or refused aloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from byway.kinds import decode, documents

SHARED = Path(__file__).parents[3].parent / "shared"
BOOKINFO = SHARED / "corpus" / "bookinfo-networking"
REFUSED = {"egress-rule-google-apis.yaml": ["kind: ServiceEntry (networking.istio.io) is not supported yet"]}


def test_bookinfo_is_read_or_refused_aloud() -> None:
    if not BOOKINFO.exists():
        pytest.skip(f"the corpus is not here: {BOOKINFO}")
    found, n_resources = {}, 0
    for path in sorted(BOOKINFO.glob("*.yaml")):
        read = documents(path.read_bytes(), path.name)
        derived = [decode(document) for document in read.value]
        assert all(result.value is not None or result.has_errors for result in derived), "nothing is skipped"
        diagnostics = [*read.diagnostics, *(one for result in derived for one in result.diagnostics)]
        messages = [one.message for one in diagnostics]
        n_resources += sum(result.value is not None for result in derived)
        if messages:
            found[path.name] = messages
    assert found == REFUSED
    assert n_resources > 30


def test_the_seed_is_read_and_its_fragment_is_told_where_it_belongs() -> None:
    seed = SHARED / "seed"
    if not seed.exists():
        pytest.skip(f"the seed is not here: {seed}")
    (canary,) = documents((seed / "canary.yaml").read_text(), "canary.yaml").value
    resource = decode(canary).value
    assert resource is not None
    assert resource.spec.hosts == ()
    assert [split.weight for split in resource.spec.http[0].route] == [95, 5]
    assert str(resource.position("spec.hosts")) == "canary.yaml:6:1"
    (fragment,) = documents((seed / "fault.yaml").read_text(), "fault.yaml").value
    (found,) = decode(fragment).diagnostics
    assert str(found.position) == "fault.yaml:3:1"
    assert "its fields are those of a VirtualService's spec" in found.message
