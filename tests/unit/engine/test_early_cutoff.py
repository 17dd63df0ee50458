"""A recomputed value that equals the old one stops the wave."""

from __future__ import annotations

from byway.engine import Database, Input, query
from tests.unit.engine.conftest import Log

number: Input[str, int] = Input("number", default=0)


@query
def is_large(db: Database, key: str) -> bool:
    return number(db, key) > 100


@query
def verdict(db: Database, key: str) -> str:
    return "large" if is_large(db, key) else "small"


@query
def sentence(db: Database, key: str) -> str:
    return f"{key} is {verdict(db, key)}"


@query
def pair(db: Database, key: str) -> tuple[bool, int]:
    return is_large(db, key), number(db, key) // 10


def test_an_equal_outcome_leaves_everything_above_it_alone(log: Log) -> None:
    sentence(log.db, "a")
    log.take()
    log.db.set(number, "a", 50)
    sentence(log.db, "a")
    assert log.take() == [
        "will compute is_large('a')",
        "did cut off is_large('a')",
        "did reuse verdict('a')",
        "did reuse sentence('a')",
    ]


def test_a_different_outcome_goes_on_to_the_top(log: Log) -> None:
    sentence(log.db, "a")
    log.take()
    log.db.set(number, "a", 500)
    assert sentence(log.db, "a") == "a is large"
    assert log.take() == [
        "will compute is_large('a')",
        "will compute verdict('a')",
        "did reuse is_large('a')",
        "will compute sentence('a')",
        "did reuse verdict('a')",
    ]


def test_after_a_cutoff_the_next_question_is_answered_at_once(log: Log) -> None:
    sentence(log.db, "a")
    log.db.set(number, "a", 50)
    sentence(log.db, "a")
    log.take()
    sentence(log.db, "a")
    assert log.take() == ["did reuse sentence('a')"]


def test_a_cutoff_keeps_the_old_object() -> None:
    db = Database()
    before = pair(db, "a")
    db.set(number, "a", 5)
    assert pair(db, "a") is before


def test_a_value_set_back_before_anyone_asked_is_cut_off(log: Log) -> None:
    sentence(log.db, "a")
    log.take()
    log.db.set(number, "a", 500)
    log.db.set(number, "a", 0)
    sentence(log.db, "a")
    assert log.take() == [
        "will compute is_large('a')",
        "did cut off is_large('a')",
        "did reuse verdict('a')",
        "did reuse sentence('a')",
    ]


def test_a_value_set_back_after_someone_asked_is_a_change_like_any_other(log: Log) -> None:
    sentence(log.db, "a")
    log.db.set(number, "a", 500)
    sentence(log.db, "a")
    log.db.set(number, "a", 0)
    log.take()
    assert sentence(log.db, "a") == "a is small"
    assert log.work() == [
        "will compute is_large('a')",
        "will compute verdict('a')",
        "will compute sentence('a')",
    ]


def test_an_old_change_of_one_read_is_no_change_for_another_memo(log: Log) -> None:
    """`is_large('a')` changed long ago, after `is_large('b')` was last looked at; that is nothing to the latter."""

    @query
    def watcher(db: Database, key: str) -> bool:
        return is_large(db, key)

    @query
    def either(db: Database) -> bool:
        return watcher(db, "a") | watcher(db, "b")

    either(log.db)
    log.db.set(number, "a", 500)
    either(log.db)
    log.take()
    log.db.set(number, "a", 600)
    log.db.set(number, "b", 50)
    either(log.db)
    assert log.work() == ["will compute is_large('a')", "will compute is_large('b')"]


def test_a_change_seen_through_one_reader_is_not_lost_to_another(log: Log) -> None:
    """The read was brought up to date for somebody else, revisions ago; whoever asks later must still see it."""
    sentence(log.db, "a")
    log.db.set(number, "a", 500)
    assert is_large(log.db, "a")
    log.db.set(number, "a", 600)
    assert is_large(log.db, "a")
    log.take()
    assert sentence(log.db, "a") == "a is large"
    assert log.work() == ["will compute verdict('a')", "will compute sentence('a')"]
