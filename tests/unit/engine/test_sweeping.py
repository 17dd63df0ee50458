"""Memory is bounded by what roots lead to."""

from __future__ import annotations

from byway.engine import Database, Input, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

number: Input[str, int] = Input("number", default=0)
choice: Input[str, str] = Input("choice", default="left")


@query
def leaf(db: Database, key: str) -> int:
    return number(db, key)


@query
def chosen(db: Database) -> int:
    return leaf(db, choice(db, "it"))


def test_what_no_root_leads_to_is_discarded(log: Log) -> None:
    log.db.subscribe(chosen)
    log.db.changed()
    leaf(log.db, "elsewhere")
    log.take()
    assert log.db.sweep() == 1
    assert log.take() == ["did discard leaf('elsewhere')"]


def test_what_a_root_has_stopped_reading_is_discarded(log: Log) -> None:
    log.db.subscribe(chosen)
    log.db.changed()
    log.db.set(choice, "it", "right")
    log.db.changed()
    log.take()
    assert log.db.sweep() == 1
    assert log.take() == ["did discard leaf('left')"]


def test_what_a_stale_root_may_still_need_is_kept(log: Log) -> None:
    log.db.subscribe(chosen)
    log.db.changed()
    log.db.set(choice, "it", "right")
    assert log.db.sweep() == 0


def test_a_discarded_query_is_computed_again_when_it_is_asked(log: Log) -> None:
    chosen(log.db)
    assert log.db.sweep() == 2
    log.take()
    log.db.set(number, "left", 7)
    assert chosen(log.db) == 7
    assert log.take() == ["will compute chosen()", "will compute leaf('left')"]
    assert broken_invariants(log.db) == []


def test_memory_does_not_grow_with_time() -> None:
    db = Database()
    db.subscribe(chosen)
    for turn in range(200):
        db.set(choice, "it", f"key {turn}")
        db.set(number, f"key {turn}", turn + 1)
        assert len(db.changed()) == 1
        leaf(db, f"passing {turn}")
        db.remove(number, f"key {turn - 1}")
        db.sweep()
        assert {query.name: found.n_memos for query, found in db.statistics().items()} == {"chosen": 1, "leaf": 1}
        assert len(db.cells[number]) <= 2
        assert (len(db.loose), len(db.pending)) == (0, 0)


def test_a_swept_root_can_be_held_again() -> None:
    db = Database()
    db.subscribe(chosen)
    db.unsubscribe(chosen)
    assert db.sweep() == 1
    root = db.subscribe(chosen)
    assert db.changed() == [root]


@query
def among(db: Database, key: str, reader: int) -> int:
    return number(db, key) + reader


def test_many_readers_of_one_input_come_and_go() -> None:
    """Few readers are kept otherwise than many: up to many and back again, each of them is told."""
    db = Database()
    for n_readers in (1, 8, 9, 30, 9, 8, 2, 1, 0, 9):
        for reader in range(n_readers):
            db.subscribe(among, "a", reader)
        db.changed()
        db.set(number, "a", db.revision + 1)
        assert len(db.changed()) == n_readers
        assert broken_invariants(db) == []
        for reader in range(n_readers):
            db.unsubscribe(among, "a", reader)
        assert db.sweep() == n_readers
        assert broken_invariants(db) == []
    assert db.cells[number] == {}
