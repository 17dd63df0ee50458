"""A query that needs its own value is told so, by the way round."""

from __future__ import annotations

import pytest

from byway.engine import CycleError, Database, Input, query
from byway.engine.invariants import broken_invariants

target: Input[str, str] = Input("target", default="")


@query
def end(db: Database, key: str) -> str:
    following = target(db, key)
    return end(db, following) if following else key


@query
def greeting(db: Database, key: str) -> str:
    return f"hello {end(db, key)}"


@query
def careful(db: Database, key: str) -> str:
    try:
        return careful(db, key)
    except CycleError:
        return "caught"


def _ring(db: Database, *keys: str) -> None:
    with db.write():
        for key, following in zip(keys, (*keys[1:], keys[0]), strict=True):
            db.set(target, key, following)


def test_the_error_names_the_way_round_and_not_the_way_there() -> None:
    db = Database()
    _ring(db, "a", "b", "c")
    with pytest.raises(CycleError) as caught:
        greeting(db, "b")
    assert caught.value.path == ("end('b')", "end('c')", "end('a')", "end('b')")
    assert "end('b') → end('c') → end('a') → end('b')" in str(caught.value)
    assert broken_invariants(db) == []


def test_a_query_that_asks_itself_is_the_smallest_cycle() -> None:
    db = Database()
    db.set(target, "a", "a")
    with pytest.raises(CycleError, match=r"end\('a'\) → end\('a'\)"):
        end(db, "a")


def test_each_member_of_a_cycle_fails_whichever_is_asked_first() -> None:
    db = Database()
    _ring(db, "a", "b", "c")
    for key in ("c", "a", "b", "c"):
        with pytest.raises(CycleError):
            end(db, key)
        assert broken_invariants(db) == []


def test_a_cycle_that_is_broken_is_forgotten() -> None:
    db = Database()
    _ring(db, "a", "b", "c")
    roots = [db.subscribe(greeting, key) for key in ("a", "b", "c")]
    assert db.changed() == roots
    db.remove(target, "b")
    assert db.changed() == roots
    assert [root.value(db) for root in roots] == ["hello b", "hello b", "hello b"]


def test_a_cycle_that_arises_is_found_while_verifying() -> None:
    db = Database()
    db.set(target, "a", "b")
    db.set(target, "b", "c")
    roots = [db.subscribe(greeting, key) for key in ("a", "b", "c")]
    db.changed()
    db.set(target, "c", "a")
    assert db.changed() == roots
    for root in roots:
        with pytest.raises(CycleError):
            root.value(db)
    assert broken_invariants(db) == []


def test_an_edge_that_turned_round_is_no_cycle() -> None:
    db = Database()
    db.set(target, "a", "b")
    assert (end(db, "a"), end(db, "b")) == ("b", "b")
    with db.write():
        db.set(target, "a", "")
        db.set(target, "b", "a")
    assert (end(db, "b"), end(db, "a")) == ("a", "a")


def test_a_cycle_cannot_be_caught_away_by_its_member() -> None:
    """Otherwise its value would depend on who was asked first."""
    with pytest.raises(CycleError):
        careful(Database(), "a")


def test_a_ring_of_failed_queries_is_swept_when_nobody_holds_it() -> None:
    db = Database()
    _ring(db, "a", "b", "c")
    db.subscribe(greeting, "a")
    db.changed()
    assert db.sweep() == 0
    db.unsubscribe(greeting, "a")
    assert db.sweep() == 4
    assert broken_invariants(db) == []
    assert not db.has_failed


def test_the_message_of_a_long_cycle_keeps_both_ends() -> None:
    db = Database()
    _ring(db, *map(str, range(30)))
    with pytest.raises(CycleError, match=r"end\('7'\) → \(15 more\) → end\('23'\)") as caught:
        end(db, "0")
    assert len(caught.value.path) == 31
