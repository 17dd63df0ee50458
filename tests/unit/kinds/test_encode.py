"""What was read can be written, and read again as the same."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from byway.kinds import Document, decode, document_from_json, document_json, documents, resource_yaml
from byway.kinds.encode import body_yaml

TEXT = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: docs
  annotations:
    note: |
      two
      lines
    version: 'on'
    octal: '0777'
spec:
  host: docs
  subsets:
  - name: v1
    labels:
      version: '1'
"""


def test_a_resource_is_printed_as_it_would_be_written() -> None:
    resource = decode(documents(TEXT, "f").value[0]).value
    assert resource is not None
    assert resource_yaml(resource) == TEXT


def test_a_document_keeps_its_places_in_a_store() -> None:
    (document,) = documents(TEXT, "f").value
    assert document_from_json(document_json(document)) == document


_TRICKY = [
    "on", "yes", "n", "null", "~", "1e3", "08", "0777", "1:30", ".inf", "<<", "=", "2024-01-02", "1_0", "",
    "a: b", "- a", "#", "x\ny\n", "\t", "é\n é", " x", "x ", "\n", "x\n\n", "  x\ny",
]  # fmt: skip
_words = st.text(max_size=12) | st.sampled_from(_TRICKY)
_bodies = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def _is_printable(value: Any) -> bool:
    """YAML cannot hold lone surrogates and some control characters unescaped; JSON text of users never does."""
    match value:
        case str():
            return value.isascii() or value.isprintable()
        case list():
            return all(_is_printable(entry) for entry in value)
        case dict():
            return all(_is_printable(key) and _is_printable(entry) for key, entry in value.items())
        case _:
            return True


@given(st.dictionaries(_words, _bodies, min_size=1, max_size=3).filter(_is_printable))
def test_any_body_comes_back_the_same(body: dict[str, Any]) -> None:
    read = documents(body_yaml(body), "f")
    assert read.diagnostics == ()
    assert [document.body for document in read.value] == [body]


@given(st.dictionaries(_words, _bodies, min_size=1, max_size=3).filter(_is_printable))
def test_any_document_comes_back_the_same_from_json(body: dict[str, Any]) -> None:
    document = Document(body, "f", {"": (1, 1)})
    assert document_from_json(document_json(document)) == document


def test_other_readers_of_yaml_take_no_text_for_a_boolean() -> None:
    assert yaml.safe_load(body_yaml({"a": "on", "b": "y", "c": "No"})) == {"a": "on", "b": "y", "c": "No"}
