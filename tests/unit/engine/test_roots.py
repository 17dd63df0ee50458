"""A root is kept alive and reported when its value really changed."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, NotSubscribed, Root, query
from byway.engine.invariants import broken_invariants
from tests.unit.engine.conftest import Log

number: Input[str, int] = Input("number", default=0)


@query
def is_large(db: Database, key: str) -> bool:
    return number(db, key) > 100


@query
def word(db: Database, key: str) -> str:
    return "large" if is_large(db, key) else "small"


@query
def inverse(db: Database, key: str) -> float:
    return 1 / number(db, key)


def test_a_root_whose_value_is_known_is_not_reported(log: Log) -> None:
    word(log.db, "a")
    assert log.db.subscribe(word, "a") == (word, ("a",))
    assert log.db.changed() == []


def test_a_root_that_was_never_computed_is_reported_once() -> None:
    db = Database()
    root = db.subscribe(word, "a")
    assert db.changed() == [root]
    assert db.changed() == []
    assert root.value(db) == "small"


def test_only_a_value_that_differs_is_reported(log: Log) -> None:
    root = log.db.subscribe(word, "a")
    log.db.changed()
    log.db.set(number, "a", 50)
    assert log.db.changed() == []
    log.db.set(number, "a", 150)
    assert log.db.changed() == [root]
    assert (str(root), root.value(log.db)) == ("word('a')", "large")


def test_nothing_is_done_when_nothing_changed(log: Log) -> None:
    log.db.subscribe(word, "a")
    log.db.changed()
    log.db.set(number, "b", 150)
    log.take()
    assert log.db.changed() == []
    assert log.take() == []


def test_a_change_that_was_seen_by_asking_is_reported_all_the_same() -> None:
    db = Database()
    root = db.subscribe(word, "a")
    db.changed()
    db.set(number, "a", 150)
    assert word(db, "a") == "large"
    assert db.changed() == [root]


def test_a_value_that_is_back_to_what_was_reported_is_no_change() -> None:
    db = Database()
    db.subscribe(word, "a")
    db.changed()
    db.set(number, "a", 150)
    assert word(db, "a") == "large"
    db.set(number, "a", 0)
    assert db.changed() == []


def test_roots_are_reported_in_the_order_of_their_subscription() -> None:
    db = Database()
    keys = ["c", "a", "d", "b"]
    for key in keys:
        db.subscribe(word, key)
    assert [root.args[0] for root in db.changed()] == keys
    with db.write():
        for key in sorted(keys):
            db.set(number, key, 150)
    assert [root.args[0] for root in db.changed()] == keys


def test_a_root_is_held_until_its_last_holder_gives_it_back() -> None:
    db = Database()
    root = db.subscribe(word, "a")
    db.subscribe(word, "a")
    db.changed()
    db.unsubscribe(word, "a")
    assert db.sweep() == 0
    db.set(number, "a", 150)
    assert db.changed() == [root]
    db.unsubscribe(word, "a")
    db.set(number, "a", 0)
    assert db.changed() == []
    assert db.sweep() == 2


def test_what_nobody_holds_cannot_be_given_back() -> None:
    db = Database()
    with pytest.raises(NotSubscribed, match=r"word\('a'\) is held by nobody"):
        db.unsubscribe(word, "a")
    word(db, "a")
    with pytest.raises(NotSubscribed):
        db.unsubscribe(word, "a")


def test_a_root_that_raises_is_reported_and_does_not_hide_the_others() -> None:
    db = Database()
    db.set(number, "a", 1)
    db.set(number, "b", 1)
    a, b = db.subscribe(inverse, "a"), db.subscribe(inverse, "b")
    db.changed()
    with db.write():
        db.set(number, "a", 0)
        db.set(number, "b", 2)
    assert db.changed() == [a, b]
    assert b.value(db) == 0.5
    with pytest.raises(ZeroDivisionError):
        a.value(db)
    assert broken_invariants(db) == []


def test_a_root_that_raised_is_tried_again_only_when_something_it_read_changes(log: Log) -> None:
    root = log.db.subscribe(inverse, "a")
    assert log.db.changed() == [root]
    log.take()
    log.db.set(number, "b", 3)
    assert log.db.changed() == []
    assert log.take() == []
    log.db.set(number, "a", 4)
    assert log.db.changed() == [root]
    assert root.value(log.db) == 0.25


def test_a_root_that_recovers_to_its_old_value_is_reported() -> None:
    """The error in between was reported, so its end must be."""
    db = Database()
    db.set(number, "a", 1)
    root = db.subscribe(inverse, "a")
    for n, reported in ((1, [root]), (0, [root]), (1, [root]), (1, [])):
        db.set(number, "a", n)
        assert db.changed() == reported


def test_a_root_is_equal_to_its_name() -> None:
    assert Root(word, ("a",)) == (word, ("a",))
    assert len({Root(word, ("a",)), Root(word, ("a",)), Root(is_large, ("a",))}) == 2
