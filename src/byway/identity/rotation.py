"""When a certificate is renewed: at half of its life, spread by jitter, and how failures are retried.

All time and randomness come in as arguments. A `Lease` remembers when its certificate arrived on *both* clocks, so
that neither a wall clock that jumps (either way) nor a monotonic clock that stands still while a machine sleeps can
let a certificate run out unnoticed: whichever clock first says that the time has come is believed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

RENEWAL_POINT: Final = 0.5
RENEWAL_SPREAD: Final = 0.2
"""The width of the window, as a share of the life: renewal happens between 40 % and 60 %."""

_LEAST_WAIT_S: Final = 1.0
_FIRST_RETRY_S: Final = 0.5
_RETRY_CAP_S: Final = 60.0
_RETRY_CAP_URGENT_S: Final = 5.0


def renewal_time(not_before: datetime, not_after: datetime, jitter: float) -> datetime:
    """The moment to renew: half of the life from `not_before`, moved by `jitter` in [0, 1) within the window."""
    share = RENEWAL_POINT + (jitter - 0.5) * RENEWAL_SPREAD
    return not_before + (not_after - not_before) * share


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate in use. Its life is counted from `received_at`, not from the backdated `not_before`."""

    not_before: datetime
    not_after: datetime
    received_at: datetime
    received_monotonic: float
    jitter: float = 0.5


def renewal_wait_s(lease: Lease, now: datetime, monotonic: float) -> float:
    """Seconds until the certificate is to be renewed; 0 when it is due."""
    renew_at = renewal_time(lease.received_at, lease.not_after, lease.jitter)
    planned_s = max((renew_at - lease.received_at).total_seconds(), _LEAST_WAIT_S)
    elapsed_s = monotonic - lease.received_monotonic
    if elapsed_s < _LEAST_WAIT_S and now < lease.not_after:
        return planned_s - elapsed_s  # even the oddest pair of clocks asks for one certificate a second at most
    if now < lease.not_before <= lease.received_at:
        return 0.0  # the clock went back to before the certificate's life
    return max(0.0, min((renew_at - now).total_seconds(), planned_s - elapsed_s))


def remaining_life(lease: Lease, now: datetime) -> timedelta:
    """How long the certificate is still valid; negative once it has expired."""
    return lease.not_after - now


def retry_delay_s(n_failures: int, jitter: float, remaining_s: float) -> float:
    """The wait after the `n_failures`-th failure in a row: doubling, bounded, shorter when little life remains.

    `remaining_s` is the life left in the certificate in hand, 0 without one; at least about ten tries fit into it.
    """
    cap_s = min(_RETRY_CAP_S, max(remaining_s / 10, _FIRST_RETRY_S)) if remaining_s > 0 else _RETRY_CAP_URGENT_S
    delay_s = min(_FIRST_RETRY_S * 2.0 ** min(n_failures - 1, 10), cap_s)
    return delay_s * (0.5 + jitter / 2)
