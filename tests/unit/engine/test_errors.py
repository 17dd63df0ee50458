"""A query that raises leaves no trace but the record of what it had read."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

number: Input[str, int] = Input("number", default=0)


@query
def inverse(db: Database, key: str) -> float:
    return 1 / number(db, key)


@query
def percent(db: Database, key: str) -> str:
    return f"{inverse(db, key):.0%}"


@query
def both(db: Database) -> str:
    return f"{percent(db, 'a')} {percent(db, 'b')}"


@query
def forgiving(db: Database) -> float:
    try:
        return inverse(db, "a")
    except ZeroDivisionError:
        return 0.0


def test_an_error_passes_through_and_is_not_remembered(log: Log) -> None:
    with pytest.raises(ZeroDivisionError):
        percent(log.db, "a")
    assert log.take() == ["will compute percent('a')", "will compute inverse('a')"]
    with pytest.raises(ZeroDivisionError):
        percent(log.db, "a")
    assert log.take() == ["will compute inverse('a')"]
    assert broken_invariants(log.db) == []


def test_what_succeeded_beside_the_error_is_kept(log: Log) -> None:
    log.db.set(number, "a", 2)
    with pytest.raises(ZeroDivisionError):
        both(log.db)
    log.take()
    log.db.set(number, "b", 4)
    assert both(log.db) == "50% 25%"
    assert log.work() == ["will compute inverse('b')", "will compute percent('b')", "will compute both()"]


def test_an_error_found_while_verifying_is_the_one_that_a_run_would_raise(log: Log) -> None:
    log.db.set(number, "a", 2)
    log.db.set(number, "b", 4)
    both(log.db)
    log.take()
    log.db.set(number, "b", 0)
    with pytest.raises(ZeroDivisionError):
        both(log.db)
    assert log.take() == ["will compute inverse('b')"]
    assert broken_invariants(log.db) == []


def test_an_error_that_ends_with_the_old_value_changes_nothing_above_it(log: Log) -> None:
    log.db.set(number, "a", 2)
    percent(log.db, "a")
    log.db.set(number, "a", 0)
    with pytest.raises(ZeroDivisionError):
        percent(log.db, "a")
    log.db.set(number, "a", 2)
    log.take()
    assert percent(log.db, "a") == "50%"
    assert log.take() == ["will compute inverse('a')", "did cut off inverse('a')", "did reuse percent('a')"]


def test_an_error_cannot_be_caught_away_by_a_query_above_it() -> None:
    db = Database()
    with pytest.raises(ZeroDivisionError) as caught:
        forgiving(db)
    (note,) = caught.value.__notes__
    assert note == "forgiving() caught this error and went on, but an error below a query is its own"
    assert broken_invariants(db) == []
    db.set(number, "a", 2)
    assert forgiving(db) == 0.5


def test_an_error_caught_outside_of_all_queries_is_over() -> None:
    db = Database()
    with pytest.raises(ZeroDivisionError):
        percent(db, "a")
    db.set(number, "b", 4)
    assert percent(db, "b") == "25%"


def test_an_error_of_an_equality_is_an_error_of_the_query() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ArithmeticError("cannot be compared")

        __hash__ = None  # type: ignore[assignment]

    @query
    def odd(db: Database) -> Odd:
        number(db, "a")
        return Odd()

    db = Database()
    odd(db)
    db.set(number, "a", 1)
    with pytest.raises(ArithmeticError):
        odd(db)
    assert broken_invariants(db) == []


def test_a_failure_without_a_change_below_it_is_tried_again_by_whoever_asks(log: Log) -> None:
    """Not every error is pure: memory or the depth of a stack may suffice the next time."""
    patience = [MemoryError(), MemoryError(), None]

    @query
    def moody(db: Database) -> int:
        problem = patience.pop(0)
        if problem is not None:
            raise problem
        return number(db, "a")

    @query
    def above(db: Database) -> int:
        return moody(db)

    roots = [log.db.subscribe(above), log.db.subscribe(moody)]
    assert log.db.changed() == roots
    assert moody(log.db) == 0
    assert log.db.changed() == roots
    assert [root.value(log.db) for root in roots] == [0, 0]
    assert broken_invariants(log.db) == []


def test_a_root_is_reported_when_another_root_finds_that_the_failure_has_passed() -> None:
    patience = [MemoryError(), None]

    @query
    def moody(db: Database) -> int:
        problem = patience.pop(0)
        if problem is not None:
            raise problem
        return number(db, "a")

    @query
    def above(db: Database) -> int:
        return moody(db)

    @query
    def beside(db: Database) -> int:
        return moody(db) if number(db, "b") else 0

    db = Database()
    first, second = db.subscribe(above), db.subscribe(beside)
    assert db.changed() == [first, second]
    db.set(number, "b", 1)
    assert db.changed() == [first]
    assert (first.value(db), second.value(db)) == (0, 0)


def test_an_observer_that_raises_does_not_break_the_database() -> None:
    def observe(event: object) -> None:
        if is_broken:
            raise OSError("the log is full")

    is_broken = True
    db = Database(on_event=observe)
    db.set(number, "a", 2)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            percent(db, "a")
        assert broken_invariants(db) == []
    is_broken = False
    assert percent(db, "a") == "50%"


def test_an_error_cannot_be_exchanged_for_another() -> None:
    """The caller sees the same error whether the query was run, or failed while its reads were verified."""

    @query
    def translated(db: Database) -> float:
        try:
            return inverse(db, "a")
        except ZeroDivisionError as error:
            raise KeyError("a") from error

    db = Database()
    with pytest.raises(ZeroDivisionError):
        translated(db)
    db.set(number, "a", 1)
    translated(db)
    db.set(number, "a", 0)
    with pytest.raises(ZeroDivisionError):
        translated(db)
    assert broken_invariants(db) == []


def test_what_is_read_after_a_failure_is_no_dependency() -> None:
    @query
    def size(db: Database) -> int:
        return number(db, "b")

    @query
    def instead(db: Database) -> float:
        try:
            return inverse(db, "a")
        except ZeroDivisionError:
            return size(db)

    db = Database()
    db.set(number, "a", 1)
    assert (inverse(db, "a"), size(db)) == (1.0, 0)
    db.set(number, "a", 0)
    with pytest.raises(ZeroDivisionError):
        instead(db)
    db.set(number, "a", 1)
    db.set(number, "b", 1)
    assert instead(db) == 1.0
    assert db.statistics()[size].n_computed == 1


def test_a_query_that_has_failed_starts_no_further_work(log: Log) -> None:
    @query
    def stubborn(db: Database) -> float:
        for key in ("a", "b", "c"):
            try:
                return inverse(db, key)
            except ZeroDivisionError:
                continue
        return 0.0

    log.db.set(number, "c", 1)
    with pytest.raises(ZeroDivisionError):
        stubborn(log.db)
    assert log.take() == ["will compute stubborn()", "will compute inverse('a')"]
