"""A path leads from a document to a field, and back up again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from byway.kinds.path import child, item, joined, nearest, parent

_steps = st.lists(st.text(max_size=8) | st.integers(0, 99), max_size=6)


@given(_steps)
def test_the_parent_of_a_child_is_where_one_came_from(steps: list[str | int]) -> None:
    path = "spec"
    for step in steps:
        deeper = child(path, step) if isinstance(step, str) else item(path, step)
        assert parent(deeper) == path
        path = deeper


def test_nearest_climbs_until_something_is_known() -> None:
    known = {"": 0, "spec": 0, 'spec.labels["a.b"]': 0}
    assert nearest('spec.labels["a.b"].c[3]', known) == 'spec.labels["a.b"]'
    assert nearest("spec.x[1].y", known) == "spec"
    assert nearest("meta", known) == ""


def test_parts_join_with_a_dot_only_between_names() -> None:
    assert (joined("spec", "a.b"), joined("spec", "[0]"), joined("", "a"), joined("spec", "")) == (
        "spec.a.b",
        "spec[0]",
        "a",
        "spec",
    )
