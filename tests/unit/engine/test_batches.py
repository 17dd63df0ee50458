"""All that is written in one block is one revision."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, QueryInsideWrite, WriteInsideQuery, query
from byway.engine.invariants import broken_invariants

number: Input[str, int] = Input("number", default=0)


@query
def total(db: Database) -> int:
    return number(db, "a") + number(db, "b")


def test_a_batch_is_one_revision() -> None:
    db = Database()
    with db.write():
        db.set(number, "a", 1)
        db.set(number, "b", 2)
    assert db.revision == 1
    assert total(db) == 3


def test_a_batch_without_a_change_is_no_revision() -> None:
    db = Database()
    with db.write():
        db.set(number, "a", 0)
    assert db.revision == 0


def test_a_batch_within_a_batch_belongs_to_it() -> None:
    db = Database()
    with db.write():
        db.set(number, "a", 1)
        with db.write():
            db.set(number, "b", 2)
        db.set(number, "a", 3)
    assert db.revision == 1
    assert total(db) == 5


def test_single_writes_after_a_batch_are_revisions_of_their_own() -> None:
    db = Database()
    with db.write():
        db.set(number, "a", 1)
    db.set(number, "a", 2)
    db.set(number, "a", 3)
    assert db.revision == 3


def test_a_batch_that_breaks_off_keeps_what_was_written() -> None:
    db = Database()
    total(db)

    def broken_batch() -> None:
        with db.write():
            db.set(number, "a", 1)
            db.set(number, "b", 1 // 0)

    with pytest.raises(ZeroDivisionError):
        broken_batch()
    assert (db.revision, total(db)) == (1, 1)
    assert broken_invariants(db) == []
    db.set(number, "b", 2)
    assert (db.revision, total(db)) == (2, 3)


def test_nothing_is_asked_while_a_batch_is_half_written() -> None:
    db = Database()
    total(db)
    with db.write():
        with pytest.raises(QueryInsideWrite, match=r"total\(\) was asked while a batch is half written"):
            total(db)
        db.set(number, "a", 1)
        assert number(db, "a") == 1
        with pytest.raises(QueryInsideWrite):
            total(db)
        with pytest.raises(QueryInsideWrite):
            db.changed()
        with pytest.raises(QueryInsideWrite):
            db.dependencies(total)
    assert total(db) == 1
    assert broken_invariants(db) == []


def test_a_query_cannot_write() -> None:
    @query
    def greedy(db: Database, deed: str) -> int:
        match deed:
            case "set":
                db.set(number, "a", 1)
            case "remove":
                db.remove(number, "a")
            case "batch":
                with db.write():
                    pass
            case "subscribe":
                db.subscribe(total)
            case "unsubscribe":
                db.unsubscribe(total)
            case "changed":
                db.changed()
            case "sweep":
                db.sweep()
            case "dependencies":
                db.dependencies(total)
        return 0

    db = Database()
    deeds = ("set", "remove", "batch", "subscribe", "unsubscribe", "changed", "sweep", "dependencies")
    for deed in deeds:
        with pytest.raises(WriteInsideQuery, match=rf"greedy\('{deed}'\) tried to .*; a query only reads"):
            greedy(db, deed)
        assert broken_invariants(db) == []
    assert db.revision == 0
