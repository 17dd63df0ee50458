"""A staged change meets one proxy, then a quarter, then all, and stops where requests begin to fail."""

from __future__ import annotations

import pytest

from byway.app.staging import Requests, sizes, too_many_failures


@pytest.mark.parametrize(
    ("n", "stages"),
    [(0, ()), (1, (1,)), (2, (1, 2)), (4, (1, 4)), (5, (1, 2, 5)), (20, (1, 5, 20)), (1000, (1, 250, 1000))],
)
def test_the_stages_are_one_a_quarter_and_all(n: int, stages: tuple[int, ...]) -> None:
    assert sizes(n) == stages


@pytest.mark.parametrize(
    ("seen", "usual", "is_trouble"),
    [
        (Requests(100, 0), Requests(1000, 0), False),
        (Requests(100, 2), Requests(1000, 0), False),  # two may be chance
        (Requests(10, 2), Requests(0, 0), False),
        (Requests(100, 5), Requests(1000, 0), False),  # at the bound
        (Requests(100, 6), Requests(1000, 0), True),
        (Requests(100, 30), Requests(1000, 300), False),  # it was no better before
        (Requests(100, 36), Requests(1000, 300), True),
        (Requests(0, 0), Requests(0, 0), False),
    ],
)
def test_more_failures_than_usual_are_trouble(seen: Requests, usual: Requests, is_trouble: bool) -> None:
    assert bool(too_many_failures(seen, usual)) is is_trouble


def test_the_trouble_is_told_in_figures() -> None:
    told = too_many_failures(Requests(80, 40), Requests(100, 1))
    assert told == "40 of 80 requests failed (50%, before 1%)"
