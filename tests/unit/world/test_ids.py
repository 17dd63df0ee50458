"""Ids are a set that is a sorted tuple: whatever moves in and out, they are what a set would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from byway.kinds.resource import ResourceId
from byway.world.ids import NOBODY, Ids

_ids = st.builds(ResourceId, st.just("Service"), st.sampled_from(("blue", "red")), st.sampled_from("abcdef"))
_sets = st.frozensets(_ids, max_size=5)


@given(_sets, _sets, _sets)
def test_what_moves_in_and_out_leaves_what_it_would_of_a_set(
    there: frozenset[ResourceId], gone: frozenset[ResourceId], come: frozenset[ResourceId]
) -> None:
    ids = Ids(sorted(there)).moved(gone - come, come)
    assert isinstance(ids, Ids)
    assert list(ids) == sorted((there - gone) | come)


@given(_sets, _sets)
def test_they_join_and_compare_as_sets_do(one: frozenset[ResourceId], other: frozenset[ResourceId]) -> None:
    joined = set(one)
    joined |= Ids(sorted(other))
    assert joined == set(one | other)
    assert isinstance(joined, set)
    assert list(Ids(sorted(one)) & other) == sorted(one & other)
    assert list(Ids(sorted(one)) - other) == sorted(one - other)
    assert bool(Ids(sorted(one))) == bool(one)


def test_nobody_is_empty() -> None:
    assert (len(NOBODY), NOBODY.moved(frozenset(), frozenset())) == (0, NOBODY)
