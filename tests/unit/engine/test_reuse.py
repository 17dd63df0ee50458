"""A value is computed once and answered from then on."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, NotAQuery, Statistics, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

number: Input[str, int] = Input("number", default=0)


@query
def double(db: Database, key: str) -> int:
    return 2 * number(db, key)


@query
def total(db: Database, left: str, right: str) -> int:
    return double(db, left) + double(db, right)


def test_the_first_question_computes_everything_below_it(log: Log) -> None:
    log.db.set(number, "a", 1)
    assert total(log.db, "a", "b") == 2
    assert log.take() == [
        "will compute total('a', 'b')",
        "will compute double('a')",
        "will compute double('b')",
    ]


def test_the_second_question_looks_at_nothing_below_the_answer(log: Log) -> None:
    total(log.db, "a", "b")
    log.take()
    total(log.db, "a", "b")
    assert log.take() == ["did reuse total('a', 'b')"]


def test_two_queries_share_what_both_read(log: Log) -> None:
    total(log.db, "a", "b")
    log.take()
    total(log.db, "b", "c")
    assert log.take() == [
        "will compute total('b', 'c')",
        "did reuse double('b')",
        "will compute double('c')",
    ]


def test_an_equal_value_is_no_change(log: Log) -> None:
    log.db.set(number, "a", 1)
    total(log.db, "a", "b")
    log.take()
    log.db.set(number, "a", 1)
    assert log.db.revision == 1
    total(log.db, "a", "b")
    assert log.take() == ["did reuse total('a', 'b')"]


def test_databases_know_nothing_of_each_other() -> None:
    left, right = Database(), Database()
    left.set(number, "a", 1)
    right.set(number, "a", 5)
    assert (double(left, "a"), double(right, "a")) == (2, 10)


def test_statistics_count_for_each_query_what_was_done() -> None:
    db = Database()
    total(db, "a", "b")
    total(db, "a", "b")
    db.set(number, "a", 4)
    total(db, "a", "b")
    assert db.statistics() == {
        total: Statistics(n_memos=1, n_computed=2, n_reused=1, n_cut_off=0),
        double: Statistics(n_memos=2, n_computed=3, n_reused=2, n_cut_off=0),
    }


def test_counting_is_the_same_observed_and_unobserved(log: Log) -> None:
    db = Database()
    for each in (db, log.db):
        total(each, "a", "b")
        total(each, "a", "b")
        each.set(number, "a", 4)
        total(each, "a", "b")
    assert db.statistics() == log.db.statistics()


def test_a_query_is_known_by_the_name_of_its_function() -> None:
    assert (double.name, double.__module__, double.__doc__) == ("double", __name__, None)
    assert repr(double) == "<query double>"
    assert repr(number) == "Input('number')"


def test_what_would_read_after_it_returned_cannot_be_a_query() -> None:
    async def later(db: Database) -> int:
        return number(db, "a")

    def one_by_one(db: Database):  # type: ignore[no-untyped-def]
        yield number(db, "a")

    for function in (later, one_by_one):
        with pytest.raises(NotAQuery, match="make it a plain function"):
            query(function)


def test_a_database_at_rest_is_sound() -> None:
    db = Database()
    total(db, "a", "b")
    db.set(number, "b", 3)
    assert broken_invariants(db) == []


def test_a_timer_counts_a_querys_own_seconds() -> None:
    """Not those of the queries that it asks."""
    now_s = 0.0

    @query
    def slow(db: Database) -> int:
        nonlocal now_s
        now_s += 2.0
        return number(db, "x")

    @query
    def above(db: Database) -> int:
        nonlocal now_s
        now_s += 1.0
        return slow(db) + 1

    db = Database(timer=lambda: now_s)
    above(db)
    done = db.statistics()
    assert (done[slow].seconds, done[above].seconds) == (2.0, 1.0)
    assert (done[slow].slowest_s, done[slow].slowest) == (2.0, "slow()")
