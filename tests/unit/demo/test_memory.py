"""The fleet's memory is bounded: shelves, tallies, latencies, the failure switch."""

from __future__ import annotations

import pytest

from byway.demo.behaviour import Behaviour, Switch, Verdict, behaviour
from byway.demo.latencies import Latencies
from byway.demo.shelf import Shelf, Tally


def test_a_full_shelf_gives_up_its_oldest_entry() -> None:
    shelf: Shelf[int] = Shelf(2)
    for number, key in enumerate("abab"):
        shelf.put(key, number)
    assert shelf.items() == [("a", 2), ("b", 3)]
    assert not shelf.add("a", 9)
    assert shelf.add("c", 4)
    assert (shelf.get("a"), shelf.get("c"), len(shelf)) == (None, 4, 2)


def test_a_tally_counts_and_knows_its_highest() -> None:
    tally = Tally(3)
    assert [tally.add(key) for key in "abba"] == [1, 1, 2, 2]
    tally.add("c")
    tally.add("d")
    assert tally.of("a") == 0
    assert tally.highest(2) == [("b", 2), ("c", 1)]


def test_percentiles_are_exact_to_two_percent() -> None:
    latencies = Latencies()
    assert latencies.percentile_ms(0.5) == 0
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000)
    assert latencies.percentile_ms(0.5) == pytest.approx(500, rel=0.03)
    assert latencies.percentile_ms(0.99) == pytest.approx(990, rel=0.03)
    latencies.add(1e9)
    assert latencies.percentile_ms(1) < 1e6


def test_the_switch_ends_by_itself_and_repeats_itself_by_seed() -> None:
    switch = Switch()
    asked = Behaviour(fail_rate=0.5, status=500, delay_ms=20, for_s=10, seed=7)
    runs = []
    for start in (100.0, 200.0):
        switch.turn(asked, start)
        runs.append([switch.verdict(start + number / 10) for number in range(99)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {Verdict(0.02, 0), Verdict(0.02, 500)}
    assert switch.verdict(210.0) == Verdict(0.0, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"fail_rate": 1.1},
        {"fail_rate": True},
        {"fail_rate": "1"},
        {"status": 200},
        {"delay_ms": -1},
        {"delay_ms": 1e9},
        {"for_s": 0},
        {"for_s": 1e9},
        {"fail_rate": float("nan")},
        {"speed": 1},
    ],
)
def test_a_behaviour_out_of_bounds_is_refused(body: dict[str, object]) -> None:
    assert isinstance(behaviour(body), str)


def test_a_behaviour_is_read() -> None:
    asked = behaviour({"fail_rate": 0.3, "delay_ms": 100, "for_s": 5})
    assert asked == Behaviour(fail_rate=0.3, status=503, delay_ms=100, for_s=5)
