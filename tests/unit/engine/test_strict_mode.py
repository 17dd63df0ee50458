"""Strict mode finds what a query reads past the database."""

from __future__ import annotations

import pytest

from byway.engine import Database, Input, UntrackedRead, query
from byway.engine.invariants import broken_invariants

number: Input[str, int] = Input("number", default=0)
items: Input[str, list[int]] = Input("items", default=[])
_weather = {"today": "sun"}


@query
def forecast(db: Database, key: str) -> str:
    return f"{number(db, key)} degrees, {_weather['today']}"


@query
def report(db: Database, key: str) -> str:
    return forecast(db, key).upper()


@query
def n_items(db: Database) -> int:
    return len(items(db, "all"))


@query
def branching(db: Database, depth: int) -> int:
    return branching(db, depth - 1) + branching(db, depth - 1) if depth else number(db, "a")


def test_an_untracked_read_is_found_by_the_next_question() -> None:
    db = Database(strict=True)
    _weather["today"] = "sun"
    forecast(db, "a")
    _weather["today"] = "rain"
    with pytest.raises(UntrackedRead) as caught:
        forecast(db, "a")
    message = str(caught.value)
    assert message.startswith(
        "forecast('a') gave '0 degrees, rain' where it had given '0 degrees, sun', though nothing"
    )
    assert "(it read: number['a'])" in message
    assert "make that an Input, or pass it as an argument" in message
    assert broken_invariants(db) == []


def test_an_untracked_read_far_below_is_found_where_it_happens() -> None:
    db = Database(strict=True)
    _weather["today"] = "sun"
    report(db, "a")
    _weather["today"] = "rain"
    with pytest.raises(UntrackedRead, match=r"^forecast\('a'\)"):
        report(db, "a")


def test_an_untracked_read_is_found_when_a_stale_memo_is_reused() -> None:
    @query
    def sign(db: Database) -> bool:
        return number(db, "a") >= 0

    @query
    def above(db: Database) -> str:
        return f"{sign(db)} {_weather['today']}"

    db = Database(strict=True)
    _weather["today"] = "sun"
    db.subscribe(above)
    db.changed()
    db.set(number, "a", 5)
    _weather["today"] = "rain"
    with pytest.raises(UntrackedRead, match=r"^above\(\)"):
        above(db)
    assert broken_invariants(db) == []


def test_a_value_changed_in_place_is_found() -> None:
    db = Database(strict=True)
    shared = [1, 2]
    db.set(items, "all", shared)
    n_items(db)
    shared.append(3)
    with pytest.raises(UntrackedRead, match=r"n_items\(\) gave 3 where it had given 2"):
        n_items(db)


def test_an_error_where_there_was_a_value_is_found() -> None:
    db = Database(strict=True)
    _weather["today"] = "sun"
    forecast(db, "a")
    del _weather["today"]
    with pytest.raises(UntrackedRead, match=r"forecast\('a'\) raised KeyError\('today'\)") as caught:
        forecast(db, "a")
    assert isinstance(caught.value.__cause__, KeyError)
    _weather["today"] = "sun"
    assert forecast(db, "a") == "0 degrees, sun"


def test_pure_queries_are_never_accused_and_each_runs_once_for_a_question() -> None:
    db = Database(strict=True)
    assert branching(db, 60) == 0
    assert branching(db, 60) == 0
    db.set(number, "a", 1)
    assert branching(db, 60) == 2**60
    assert broken_invariants(db) == []


def test_what_has_just_run_is_not_run_again_to_be_compared() -> None:
    runs: list[str] = []

    @query
    def counted(db: Database, key: str) -> int:
        runs.append(key)
        return number(db, key)

    @query
    def doubled(db: Database) -> int:
        return counted(db, "a") + counted(db, "a")

    db = Database(strict=True)
    assert doubled(db) == 0
    assert runs == ["a"]
    assert doubled(db) == 0
    assert runs == ["a", "a"]


def test_without_strict_mode_an_untracked_read_goes_unnoticed() -> None:
    """Which is why the tests of whoever writes queries should be strict."""
    db = Database()
    _weather["today"] = "sun"
    forecast(db, "a")
    _weather["today"] = "rain"
    assert forecast(db, "a") == "0 degrees, sun"


def test_comparing_runs_are_not_reported_as_work() -> None:
    events: list[str] = []
    db = Database(strict=True, on_event=lambda event: events.append(str(event)))
    _weather["today"] = "sun"
    report(db, "a")
    report(db, "a")
    assert events == ["will compute report('a')", "will compute forecast('a')", "did reuse report('a')"]
