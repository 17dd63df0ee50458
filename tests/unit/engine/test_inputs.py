"""Inputs are tables of cells; what is absent reads as the default, and that is a dependency as well."""

from __future__ import annotations

from byway.engine import Database, Input, query
from tests.unit.engine.conftest import Log

text: Input[str, str | None] = Input("text", default=None)


@query
def shout(db: Database, key: str) -> str:
    return (text(db, key) or "nothing").upper()


def test_the_arrival_of_what_was_absent_is_a_change(log: Log) -> None:
    assert shout(log.db, "a") == "NOTHING"
    log.db.set(text, "b", "other")
    log.take()
    assert shout(log.db, "a") == "NOTHING"
    assert log.take() == ["did reuse shout('a')"]
    log.db.set(text, "a", "hello")
    assert shout(log.db, "a") == "HELLO"


def test_a_removed_key_reads_as_the_default_again(log: Log) -> None:
    log.db.set(text, "a", "hello")
    shout(log.db, "a")
    log.db.remove(text, "a")
    assert shout(log.db, "a") == "NOTHING"
    assert text(log.db, "a") is None


def test_removing_what_is_not_there_is_no_change() -> None:
    db = Database()
    db.remove(text, "a")
    db.set(text, "a", None)
    assert db.revision == 0


def test_what_is_set_and_removed_without_a_reader_leaves_nothing_behind() -> None:
    db = Database()
    for key in map(str, range(100)):
        db.set(text, key, "x")
        db.remove(text, key)
        assert text(db, "never set") is None
    db.sweep()
    assert db.cells[text] == {}


def test_an_absence_nobody_asks_for_any_more_leaves_nothing_behind() -> None:
    db = Database()
    shout(db, "a")
    assert len(db.cells[text]) == 1
    assert db.sweep() == 1
    assert db.cells[text] == {}


def test_tables_of_the_same_name_are_different_tables() -> None:
    twin: Input[str, str | None] = Input("text", default=None)
    db = Database()
    db.set(text, "a", "hello")
    assert twin(db, "a") is None
