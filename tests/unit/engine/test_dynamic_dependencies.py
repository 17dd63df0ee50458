"""What a query reads may depend on what it has read: each run replaces the reads of the run before."""

from __future__ import annotations

from byway.engine import Database, Input, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

name: Input[str, str] = Input("name", default="")
number: Input[str, int] = Input("number", default=0)


@query
def value(db: Database, key: str) -> int:
    return 100 // number(db, key)


@query
def chosen(db: Database) -> int:
    key = name(db, "choice")
    return value(db, key) if key else -1


def _database(log: Log) -> Database:
    for key, n in (("left", 1), ("right", 2)):
        log.db.set(number, key, n)
    log.db.set(name, "choice", "left")
    chosen(log.db)
    log.take()
    return log.db


def test_what_was_not_chosen_is_no_dependency(log: Log) -> None:
    db = _database(log)
    db.set(number, "right", 50)
    assert chosen(db) == 100
    assert log.take() == ["did reuse chosen()"]


def test_a_new_choice_forgets_the_old_one(log: Log) -> None:
    db = _database(log)
    db.set(name, "choice", "right")
    assert chosen(db) == 50
    log.take()
    db.set(number, "left", 4)
    assert chosen(db) == 50
    assert log.take() == ["did reuse chosen()"]
    assert db.dependencies(chosen) == ((name, "choice"), (value, ("right",)))


def test_what_is_needed_no_more_is_not_even_asked(log: Log) -> None:
    """`left` could no longer be computed, and that does not matter: the read before it has changed."""
    db = _database(log)
    with db.write():
        db.set(number, "left", 0)
        db.set(name, "choice", "")
    assert chosen(db) == -1
    assert log.take() == ["will compute chosen()"]
    assert broken_invariants(db) == []


def test_a_read_that_is_repeated_is_one_dependency(log: Log) -> None:
    @query
    def thrice(db: Database) -> int:
        return number(db, "a") + number(db, "a") + number(db, "a")

    assert thrice(log.db) == 0
    assert log.db.dependencies(thrice) == ((number, "a"),)


def test_reads_of_a_callable_passed_in_belong_to_the_query_that_runs_it(log: Log) -> None:
    @query
    def through(db: Database) -> tuple[str, ...]:
        return tuple(sorted(("left", "right"), key=lambda key: value(db, key)))

    db = _database(log)
    through(db)
    assert db.dependencies(through) == ((value, ("left",)), (value, ("right",)))
