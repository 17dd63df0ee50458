"""Inputs are tables of cells; what is absent reads as the default, and that is a dependency as well."""

from __future__ import annotations

from typing import Any

from byway.engine import Database, Input, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

text: Input[str, str | None] = Input("text", default=None)


def kept(db: Database, table: Input[str, Any]) -> dict[str, Any]:
    """All that the database remembers of a table."""
    return {**db.cells.get(table, {}), **db.unread.get(table, {})}


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
    assert kept(db, text) == {}


def test_what_is_removed_long_after_it_was_set_leaves_nothing_behind() -> None:
    db = Database()
    db.set(text, "a", "hello")
    db.sweep()
    db.remove(text, "a")
    db.sweep()
    assert kept(db, text) == {}


def test_a_value_equal_to_the_default_is_the_default() -> None:
    words: Input[str, list[str]] = Input("words", default=[])
    db = Database()
    db.set(words, "a", ["x"])
    db.set(words, "a", [])
    assert words(db, "a") is words.default
    db.sweep()
    assert kept(db, words) == {}


def test_the_same_object_is_no_change_even_if_it_does_not_equal_itself() -> None:
    size: Input[str, float] = Input("size", default=0.0)
    db = Database()
    not_a_number = float("nan")
    db.set(size, "a", not_a_number)
    db.set(size, "a", not_a_number)
    assert db.revision == 1


def test_an_absence_nobody_asks_for_any_more_leaves_nothing_behind() -> None:
    db = Database()
    shout(db, "a")
    assert len(db.cells[text]) == 1
    assert db.sweep() == 1
    assert kept(db, text) == {}


def test_tables_of_the_same_name_are_different_tables() -> None:
    twin: Input[str, str | None] = Input("text", default=None)
    db = Database()
    db.set(text, "a", "hello")
    assert twin(db, "a") is None


def test_only_what_a_query_has_read_has_a_cell() -> None:
    db = Database()
    db.set(text, "a", "hello")
    db.set(text, "b", "you")
    assert (text(db, "a"), text(db, "b")) == ("hello", "you")
    assert (db.cells.get(text, {}), db.unread[text]) == ({}, {"a": "hello", "b": "you"})
    db.subscribe(shout, "a")
    assert [root.value(db) for root in db.changed()] == ["HELLO"]
    assert (list(db.cells[text]), db.unread[text]) == (["a"], {"b": "you"})
    assert broken_invariants(db) == []


def test_what_no_query_reads_any_more_keeps_its_value_without_a_cell() -> None:
    db = Database()
    db.set(text, "a", "hello")
    shout(db, "a")
    db.set(text, "a", "good bye")
    assert db.sweep() == 1
    assert (db.cells[text], db.unread[text]) == ({}, {"a": "good bye"})
    assert (text(db, "a"), shout(db, "a")) == ("good bye", "GOOD BYE")
    assert broken_invariants(db) == []
