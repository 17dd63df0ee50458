"""Text becomes documents with places, and hostile text becomes one line with a place and a next step."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.kinds import documents
from byway.kinds.builder import MAX_DEPTH
from byway.kinds.document import MAX_BYTES

UNUSABLE = "is no number that can be used (write a number that 64 bits hold, or quote it if it is text)"


def _found(text: str | bytes) -> list[str]:
    read = documents(text, "f")
    assert not read.value or not read.has_errors
    return [str(diagnostic) for diagnostic in read.diagnostics]


def test_every_field_and_element_has_its_place() -> None:
    text = "spec:\n  http:\n  - name: a\n    route: [{weight: 5}]\n  labels:\n    app.io/x: y\n"
    (document,) = documents(text, "f.yaml").value
    assert document.positions == {
        "": (1, 1),
        "spec": (1, 1),
        "spec.http": (2, 3),
        "spec.http[0]": (3, 5),
        "spec.http[0].name": (3, 5),
        "spec.http[0].route": (4, 5),
        "spec.http[0].route[0]": (4, 13),
        "spec.http[0].route[0].weight": (4, 14),
        "spec.labels": (5, 3),
        'spec.labels["app.io/x"]': (6, 5),
    }


def test_a_place_that_is_not_there_is_its_nearest_parents() -> None:
    (document,) = documents("spec:\n  a:\n  - b: 1\n", "f.yaml").value
    assert str(document.position("spec.a[0].c.d[7]")) == "f.yaml:3:5"
    assert str(document.position('spec.labels["a.b/c"].d')) == "f.yaml:1:1"
    assert str(document.position("elsewhere")) == "f.yaml:1:1"


def test_documents_follow_one_another_and_empty_ones_do_not_count() -> None:
    read = documents("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n", "f")
    assert [document.body for document in read.value] == [{"a": 1}, {"b": 2}]


def test_json_is_yaml() -> None:
    (document,) = documents('{\n\t"a": [1, 2.5, true, null, "x\\u00e9"]\n}', "f.json").value
    assert document.body == {"a": [1, 2.5, True, None, "xé"]}
    assert document.positions["a"] == (2, 2)


def test_a_list_of_kubectl_is_taken_apart() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  spec:\n    x: 1\n- kind: B\n"
    first, second = documents(text, "f").value
    assert (first.body, second.body) == ({"kind": "A", "spec": {"x": 1}}, {"kind": "B"})
    assert first.positions == {"": (4, 3), "kind": (4, 3), "spec": (5, 3), "spec.x": (6, 5)}


def test_line_ends_and_byte_order_marks_of_windows_are_no_matter() -> None:
    (document,) = documents(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n", "f").value
    assert (document.body, document.positions["b.c"]) == ({"a": 1, "b": {"c": 2}}, (3, 3))


def test_anchors_and_merge_keys_are_followed() -> None:
    text = "base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\nmany:\n  <<: [{x: 5}, *b]\nsame: *b\n"
    (document,) = documents(text, "f").value
    assert document.body == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "many": {"x": 5, "y": 2},
        "same": {"x": 1, "y": 2},
    }


def test_a_bad_document_does_not_take_its_neighbours_with_it() -> None:
    read = documents("a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n", "f")
    assert [document.body for document in read.value] == [{"a": 1}, {"c": 3}]
    assert [str(found) for found in read.diagnostics] == ['f:4:1: field "b" is there twice (keep one of them)']


def test_two_documents_that_have_run_together_are_told_of_the_missing_line() -> None:
    (found, *_) = documents("kind: A\nspec: {}\nkind: B\n", "f").diagnostics
    assert str(found) == 'f:3:1: field "kind" is there twice (put a line --- between two documents)'
    (inner,) = documents("spec:\n  kind: A\n  kind: B\n", "f").diagnostics
    assert inner.hint == "keep one of them"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a:\n\tb: 1\n",
            "f:2:1: no valid YAML: found character that cannot start any token "
            "(a tab or a sign that cannot stand here: indent with spaces, quote texts like @this)",
        ),
        (b"a: 1\nb: \xff\n", "f:2:4: the file is not UTF-8 (save it as UTF-8)"),
        ("a: 1\nb: é\ud800\n", "f:2:5: the text is no Unicode (save the file as UTF-8)"),
        ("a: 1\nb: \x07\n", "f:2:4: a character that YAML does not allow (U+0007) (remove it)"),
        ("a: 1\0", "f:1:5: a character that YAML does not allow (U+0000) (remove it)"),
        ("a: .nan\n", f'f:1:4: ".nan" {UNUSABLE}'),
        ("a: [-.inf]\n", f'f:1:5: "-.inf" {UNUSABLE}'),
        ("a: 1e400\n", f'f:1:4: "1e400" {UNUSABLE}'),
        ("a: !!python/name:os.system x\n", 'f:1:4: tag "tag:yaml.org,2002:python/name:os.system" is not supported (remove it)'),
        ("? [a, b]\n: c\n", "f:1:8: a key must be text (quote it)"),
        ("null: 1\n", "f:1:1: a key must be text (quote it)"),
        ("- a\n- b\n", "f:1:1: a document must be a mapping (a resource begins with apiVersion: and kind:)"),
        ("a: *b\n", "f:1:4: alias *b has no anchor before it (define it as &b)"),
        ("a: &a [*a]\n", "f:1:8: alias *a has no anchor before it (define it as &a)"),
        (
            "a: b: c\n",
            "f:1:5: no valid YAML: mapping values are not allowed in this context "
            "(a colon too many: check the indentation, or quote the text)",
        ),
        ("a: {<<: 3}\n", "f:1:9: << takes a mapping, or a list of mappings (write << : *name)"),
        ("x" * (MAX_BYTES + 1), "f:1:1: the file has more than 4 MiB (split it into several files)"),
        (b"\xff\xfea\x00:\x00", "f:1:1: the file is not UTF-8 (save it as UTF-8)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_its_place_and_the_next_step(text: str | bytes, expected: str) -> None:
    assert _found(text) == [expected]


def test_depth_has_a_limit() -> None:
    deep = "".join("  " * level + "a:\n" for level in range(MAX_DEPTH + 1))
    assert _found(deep + "  " * (MAX_DEPTH + 1) + "b: 1\n") == [
        "f:65:129: more than 64 levels (no resource is nested that deep; simplify it)"
    ]
    assert "nest" in _found("[" * 10_000)[0]


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _bomb(),
        "a: &a " + "x" * 1_000_000 + "\nb: [" + ", ".join(["*a"] * 1000) + "]",
        "[" + "1," * 1_000_000 + "1]",
        "a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 300_000) + "]}",
    ],
    ids=["billion laughs", "long text", "many nodes", "many merges"],
)
def test_what_would_grow_without_bound_is_refused_before_it_does(text: str) -> None:
    began = time.perf_counter()
    (found,) = documents(text, "f").diagnostics
    assert found.code == "too-large"
    assert time.perf_counter() - began < 5


def test_errors_without_end_are_not_all_reported() -> None:
    found = documents("a: 1\n" * 50_000, "f").diagnostics
    assert len(found) == 101
    assert found[-1].code == "too-many-errors"


def test_aliases_do_not_add_up_over_the_documents_of_other_anchors() -> None:
    text = "".join(f"---\na: &a {{x: {number}}}\nb: *a\n" for number in range(50))
    assert len(documents(text, "f").value) == 50
    assert documents("a: &a 1\n---\nb: *a\n", "f").has_errors, "anchors end with their document"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_but_never_an_exception(text: str) -> None:
    for found in documents(text, "f").diagnostics:
        assert found.position is not None
        assert found.position.line >= 1
        assert found.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_an_exception(content: bytes) -> None:
    documents(content, "f")


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?~ \n\t0.<", max_size=60))
def test_any_broken_yaml_is_read_or_refused_but_never_an_exception(text: str) -> None:
    documents(text, "f")
