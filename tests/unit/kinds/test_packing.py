"""A resource keeps its document in few bytes, and what is equal in many resources once."""

from __future__ import annotations

from byway.base.diagnostics import Position
from byway.kinds.decode import decode
from byway.kinds.document import Document, document_json
from byway.kinds.packing import packed, unpacked
from byway.kinds.resource import Resource
from byway.kinds.text import documents

ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: web-{n}
  namespace: team-{team}
spec:
  address: 10.0.0.{n}
  ports:
    http: 8080
  labels:
    app: web
    version: v{n}
  serviceAccount: web-of-the-team
"""


def entry(n: int, team: int = 1) -> tuple[Document, Resource]:
    (document,) = documents(ENTRY.format(n=n, team=team), "mesh/fleet.yaml").value
    resource = decode(document).value
    assert resource is not None
    return document, resource


def test_a_packed_document_comes_back_with_its_places() -> None:
    document, resource = entry(3)
    assert resource.document == document == unpacked(packed(document))
    assert resource.position("spec.labels.app") == Position("mesh/fleet.yaml", 12, 5)


def test_a_packed_document_is_a_fraction_of_its_json() -> None:
    document, resource = entry(3)
    assert len(resource.written) * 4 < len(document_json(document))


def test_the_same_document_packs_to_the_same_bytes() -> None:
    assert entry(3)[1] == entry(3)[1]
    assert entry(3)[1] != entry(4)[1]


def test_equal_texts_and_maps_of_two_resources_are_one_object() -> None:
    one, other = entry(3)[1], entry(4)[1]
    assert one.spec.ports is other.spec.ports
    assert one.spec.service_account is other.spec.service_account
    assert one.id.namespace is other.id.namespace
    assert one.labels is other.labels
    assert one.spec.labels is not other.spec.labels
    assert one.spec.labels is entry(3, team=2)[1].spec.labels


def test_a_document_that_is_like_no_other_comes_back_too() -> None:
    odd = Document({"x": ["\u20ac" * 5000, None, 1.5, {"": -(2**63)}]}, "é.yaml", {"": (1, 1), "x[0]": (2, 3)})
    assert unpacked(packed(odd)) == odd
