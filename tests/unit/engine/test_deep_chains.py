"""Chains of queries may be deeper than Python's stack."""

from __future__ import annotations

import sys

import pytest

from byway.engine import Database, Input, query
from byway.engine.invariants import broken_invariants

number: Input[str, int] = Input("number", default=0)
N_LEVELS = 10_000


@query
def level(db: Database, n: int) -> int:
    return level(db, n - 1) if n else number(db, "a") // 10


@query
def fragile(db: Database, n: int) -> float:
    return fragile(db, n - 1) if n else 1 / number(db, "a")


def test_a_change_passes_through_ten_thousand_levels() -> None:
    db = Database()
    for n in range(N_LEVELS):
        level(db, n)
    root = db.subscribe(level, N_LEVELS - 1)
    db.set(number, "a", 70)
    assert db.changed() == [root]
    assert root.value(db) == 7
    assert len(db.inputs_of(level, N_LEVELS - 1)) == 1


def test_a_cutoff_below_ten_thousand_levels_runs_one_query() -> None:
    db = Database()
    for n in range(N_LEVELS):
        level(db, n)
    before = db.statistics()[level]
    db.set(number, "a", 5)
    assert level(db, N_LEVELS - 1) == 0
    after = db.statistics()[level]
    assert (after.n_computed - before.n_computed, after.n_cut_off - before.n_cut_off) == (1, 1)


def test_an_error_passes_through_ten_thousand_levels_and_is_recovered_from() -> None:
    db = Database()
    db.set(number, "a", 1)
    for n in range(N_LEVELS):
        fragile(db, n)
    db.set(number, "a", 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fragile(db, N_LEVELS - 1)
    db.set(number, "a", 4)
    assert fragile(db, N_LEVELS - 1) == 0.25


def test_a_chain_of_ten_thousand_levels_is_swept() -> None:
    db = Database()
    for n in range(N_LEVELS):
        level(db, n)
    assert db.sweep() == N_LEVELS


def test_functions_that_nobody_had_asked_before_may_nest_a_hundred_levels() -> None:
    """The documented bound: some 160 levels under the default limit, of which the test runner has used some."""
    assert sys.getrecursionlimit() >= 1000
    assert level(Database(), 100) == 0


def test_a_stack_that_was_too_short_leaves_the_database_sound() -> None:
    db = Database()
    with pytest.raises(RecursionError):
        level(db, N_LEVELS)
    assert broken_invariants(db) == []
    for n in range(N_LEVELS + 1):
        level(db, n)
    assert broken_invariants(db) == []
