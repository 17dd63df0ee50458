"""Certificates are renewed at half of their life, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.identity.rotation import Lease, remaining_life, renewal_time, renewal_wait_s, retry_delay_s

NOW = datetime(2030, 1, 1, tzinfo=UTC)
_jitters = st.floats(min_value=0, max_value=1, exclude_max=True)


def lease(life_s: float, jitter: float = 0.5) -> Lease:
    return Lease(
        not_before=NOW - timedelta(seconds=60),
        not_after=NOW + timedelta(seconds=life_s),
        received_at=NOW,
        received_monotonic=1000.0,
        jitter=jitter,
    )


@given(_jitters, st.integers(min_value=10, max_value=10**8))
def test_renewal_falls_between_40_and_60_percent_of_the_life(jitter: float, life_s: int) -> None:
    """The jitter spreads a fleet that started together, and never past the end."""
    elapsed = (renewal_time(NOW, NOW + timedelta(seconds=life_s), jitter) - NOW).total_seconds()
    assert 0.4 * life_s - 1e-3 <= elapsed <= 0.6 * life_s + 1e-3


def test_without_jitter_renewal_is_at_half_of_the_life() -> None:
    """The middle of the window is the half."""
    assert renewal_time(NOW, NOW + timedelta(hours=24), 0.5) == NOW + timedelta(hours=12)


def test_the_life_is_counted_from_the_arrival_not_from_the_backdated_start() -> None:
    """A leaf of 60 s, set back by 60 s, is not due when it arrives."""
    assert renewal_wait_s(lease(60), NOW, 1000.0) == 30.0


@given(_jitters, st.floats(min_value=0, max_value=86_400))
def test_a_wait_is_over_when_either_clock_says_so(jitter: float, elapsed_s: float) -> None:
    """With both clocks running, the rest of the wait shrinks second by second."""
    whole = renewal_wait_s(lease(86_400, jitter), NOW, 1000.0)
    left = renewal_wait_s(lease(86_400, jitter), NOW + timedelta(seconds=elapsed_s), 1000.0 + elapsed_s)
    assert left == pytest.approx(max(0.0, whole - elapsed_s), abs=0.01)


@pytest.mark.parametrize(
    ("jump", "monotonic_s", "due"),
    [
        (timedelta(hours=1), 5, False),  # +1 h: not yet half of 24 h
        (timedelta(hours=13), 5, True),  # the machine slept, its monotonic clock stood still
        (timedelta(days=365), 5, True),
        (timedelta(hours=-1), 5, True),  # back to before the certificate's life
        (timedelta(hours=-1), 12 * 3600, True),
        (timedelta(days=-365), 5, True),
        (timedelta(seconds=-30), 5, False),  # still within the life
        (timedelta(seconds=-30), 12 * 3600, True),  # the monotonic clock is not fooled
    ],
)
def test_a_clock_that_jumps_does_not_hide_a_renewal(jump: timedelta, monotonic_s: float, due: bool) -> None:
    """Whichever clock first says that it is time is believed."""
    assert (renewal_wait_s(lease(86_400), NOW + jump, 1000.0 + monotonic_s) == 0) is due


@given(st.integers(min_value=-100, max_value=100), st.floats(min_value=0.01, max_value=100), _jitters)
def test_no_pair_of_clocks_makes_renewal_spin(lag_s: int, life_s: float, jitter: float) -> None:
    """However far this host's clock is off the CA's, a certificate just received is kept for a second."""
    odd = Lease(
        not_before=NOW + timedelta(seconds=lag_s),
        not_after=NOW + timedelta(seconds=life_s),
        received_at=NOW,
        received_monotonic=0.0,
        jitter=jitter,
    )
    assert renewal_wait_s(odd, NOW, 0.0) >= max(1.0, 0.39 * life_s)


@given(st.integers(min_value=1, max_value=10_000), _jitters, st.floats(min_value=-10, max_value=90_000))
def test_a_retry_waits_a_bounded_while(n_failures: int, jitter: float, remaining_s: float) -> None:
    """Never at once, never longer than a minute, and with a certificate in hand no longer than a tenth of its rest."""
    delay_s = retry_delay_s(n_failures, jitter, remaining_s)
    assert 0.25 <= delay_s <= 60
    if remaining_s > 0:
        assert delay_s <= max(0.5, remaining_s / 10)
    else:
        assert delay_s <= 5


def test_retries_double() -> None:
    """Half a second, one, two, four: until the cap."""
    assert [retry_delay_s(n, 1.0, 86_400) for n in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_the_remaining_life_turns_negative_after_the_end() -> None:
    """Expired is a negative rest."""
    assert remaining_life(lease(10), NOW + timedelta(seconds=11)) == timedelta(seconds=-1)
