"""Work is proportional to what a change affects, never to the size of what is beside it."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, query
from byway.engine.memo import STALE
from tests.unit.engine.conftest import Log

number: Input[int, int] = Input("number", default=0)


class Costly:
    """A value that counts how often anybody compares it."""

    n_compared = 0

    def __eq__(self, other: object) -> bool:
        Costly.n_compared += 1
        return self is other

    __hash__ = None  # type: ignore[assignment]


@query
def leaf(db: Database, key: int) -> int:
    return number(db, key)


@query
def is_even(db: Database, key: int) -> bool:
    return leaf(db, key) % 2 == 0


@query
def label(db: Database, key: int) -> str:
    return "even" if is_even(db, key) else "odd"


@query
def n_even(db: Database, n_keys: int) -> int:
    return sum(is_even(db, key) for key in range(n_keys))


@pytest.mark.parametrize("n_beside", [10, 10_000])
def test_a_change_costs_the_same_beside_ten_and_ten_thousand_others(log: Log, n_beside: int) -> None:
    for key in range(n_beside):
        log.db.subscribe(label, key)
    assert len(log.db.changed()) == n_beside
    log.take()

    log.db.set(number, 3, 1)
    assert [root.args for root in log.db.changed()] == [(3,)]
    assert log.take() == [
        "will compute leaf(3)",
        "will compute is_even(3)",
        "did reuse leaf(3)",
        "will compute label(3)",
        "did reuse is_even(3)",
    ]

    log.db.set(number, 3, 3)
    assert log.db.changed() == []
    assert log.take() == [
        "will compute leaf(3)",
        "will compute is_even(3)",
        "did reuse leaf(3)",
        "did cut off is_even(3)",
        "did reuse label(3)",
    ]


@pytest.mark.parametrize("n_beside", [10, 10_000])
def test_a_change_marks_only_what_is_above_it(n_beside: int) -> None:
    db = Database()
    for key in range(n_beside):
        label(db, key)
    db.set(number, 3, 1)
    stale = [memo.key for table in db.memos.values() for memo in table.values() if memo.state == STALE]
    assert sorted((query.name, args) for query, args in stale) == [("is_even", (3,)), ("label", (3,)), ("leaf", (3,))]


@pytest.mark.parametrize("n_beside", [10, 10_000])
def test_a_sweep_costs_what_it_discards(log: Log, n_beside: int) -> None:
    for key in range(n_beside):
        log.db.subscribe(label, key)
    log.db.changed()
    assert log.db.sweep() == 0
    log.take()
    log.db.unsubscribe(label, 3)
    assert len(log.db.loose) == 1
    assert log.db.sweep() == 3
    assert log.take() == ["did discard label(3)", "did discard is_even(3)", "did discard leaf(3)"]


def test_a_wide_reader_runs_once_for_a_batch_and_its_other_reads_are_only_reused(log: Log) -> None:
    n_even(log.db, 1000)
    log.take()
    with log.db.write():
        log.db.set(number, 3, 1)
        log.db.set(number, 5, 1)
    assert n_even(log.db, 1000) == 998
    assert log.work() == [
        "will compute leaf(3)",
        "will compute is_even(3)",
        "will compute n_even(1000)",
        "will compute leaf(5)",
        "will compute is_even(5)",
    ]


def test_a_clean_answer_compares_no_values() -> None:
    costly: Input[int, Costly] = Input("costly", default=Costly())

    @query
    def passed_on(db: Database) -> Costly:
        return costly(db, 0)

    db = Database()
    passed_on(db)
    Costly.n_compared = 0
    for _ in range(10):
        passed_on(db)
    assert Costly.n_compared == 0


def test_two_changes_before_a_question_mark_and_compute_once(log: Log) -> None:
    label(log.db, 1)
    log.take()
    for value in range(1, 100):
        log.db.set(number, 1, value)
    label(log.db, 1)
    assert log.work() == ["will compute leaf(1)", "will compute is_even(1)", "will compute label(1)"]
