"""Whoever is to blame is found, and nobody else, in few trials."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from byway.explain.guilt import culprits

Group = frozenset[int]


def tried(n: int, groups: list[Group]) -> tuple[frozenset[int], int]:
    """Who is blamed of `n` where any whole group is refused, and after how many trials."""
    inquiry = culprits(range(n))
    asked, n_trials = next(inquiry), 0
    while True:
        n_trials += 1
        try:
            asked = inquiry.send(any(group <= asked for group in groups))
        except StopIteration as end:
            return end.value, n_trials


def most(n: int, n_culprits: int) -> int:
    """The most trials that may be needed: the empty set, and for each culprit a search and a trial alone."""
    return 1 + n_culprits * (math.ceil(math.log2(n)) + 1)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_one_culprit_among_many_is_found(case: tuple[int, int]) -> None:
    n, guilty = case
    found, n_trials = tried(n, [frozenset({guilty})])
    assert found == {guilty}
    assert n_trials <= most(n, 1)


@given(
    st.integers(2, 400).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=2, max_size=2)))
)
def test_two_that_collide_are_both_found(case: tuple[int, set[int]]) -> None:
    n, pair = case
    found, n_trials = tried(n, [frozenset(pair)])
    assert found == pair
    assert n_trials <= most(n, 2)


@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.frozensets(st.integers(0, n - 1), min_size=1, max_size=4), min_size=1, max_size=6),
        )
    )
)
def test_of_any_groups_one_is_found_whole_and_alone(case: tuple[int, list[Group]]) -> None:
    """What is found is refused by itself, and would not be without any of its members."""
    n, groups = case
    found, n_trials = tried(n, groups)
    assert any(group <= found for group in groups)
    assert not any(group <= found - {one} for one in found for group in groups)
    assert n_trials <= most(n, 4)


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.frozensets(st.integers(0, n - 1), min_size=1, max_size=3), max_size=6)
        )
    )
)
def test_taking_out_whom_each_inquiry_finds_leaves_only_what_is_taken(case: tuple[int, list[Group]]) -> None:
    n, groups = case
    left = set(range(n))
    while any(group <= left for group in groups):
        order = sorted(left)
        found, _ = tried(len(order), [frozenset(order.index(i) for i in g) for g in groups if g <= left])
        assert found
        left -= {order[i] for i in found}
    assert not any(group <= left for group in groups)


@given(st.integers(0, 30))
def test_nobody_is_to_blame_for_what_is_refused_anyway(n: int) -> None:
    assert tried(n, [frozenset()]) == (frozenset(), 1)
