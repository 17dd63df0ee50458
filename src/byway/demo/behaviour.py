"""The failure switch of a service: for demonstrations it answers a share of its calls with an error, or slowly.

It is deterministic (seeded), and always ends by itself, so that nobody has to remember to turn it off.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

MOST_DELAY_MS = 60_000
MOST_FOR_S = 3_600
DEFAULT_FOR_S = 300
_FIELDS = frozenset({"fail_rate", "status", "delay_ms", "for_s", "seed"})


class Behaviour(NamedTuple):
    """What the service does wrong, and for how long."""

    fail_rate: float = 0.0
    status: int = 503
    delay_ms: float = 0.0
    for_s: float = DEFAULT_FOR_S
    seed: int = 0


class Verdict(NamedTuple):
    """What becomes of one call: how long it is held up, and the error it gets (0: none)."""

    delay_s: float
    status: int


HEALTHY = Behaviour()


def behaviour(body: Mapping[str, object]) -> Behaviour | str:
    """The behaviour that a request's body describes, or what is wrong with it."""
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        return f"unknown field {unknown[0]}: the fields are {', '.join(sorted(_FIELDS))}"
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in body.values()):
        return "every field is a number"
    numbers = {name: float(value) for name, value in body.items() if isinstance(value, (int, float))}
    asked = Behaviour(
        fail_rate=numbers.get("fail_rate", HEALTHY.fail_rate),
        status=int(numbers.get("status", HEALTHY.status)),
        delay_ms=numbers.get("delay_ms", HEALTHY.delay_ms),
        for_s=numbers.get("for_s", HEALTHY.for_s),
        seed=int(numbers.get("seed", HEALTHY.seed)),
    )
    return _fault(asked) or asked


def _fault(asked: Behaviour) -> str:
    if not 0 <= asked.fail_rate <= 1:
        return "fail_rate is between 0 and 1"
    if not 400 <= asked.status <= 599:
        return "status is between 400 and 599"
    if not 0 <= asked.delay_ms <= MOST_DELAY_MS:
        return f"delay_ms is between 0 and {MOST_DELAY_MS}"
    if not 0 < asked.for_s <= MOST_FOR_S:
        return f"for_s is above 0 and at most {MOST_FOR_S}"
    return ""


class Switch:
    """Holds the behaviour in force; the caller says what time it is."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._behaviour = HEALTHY
        self._until = 0.0
        self._random = random.Random(0)  # noqa: S311 - a reproducible sequence is the point

    def turn(self, asked: Behaviour, now: float) -> None:
        """Behave as asked from now on; the same seed gives the same sequence of failures."""
        with self._lock:
            self._behaviour = asked
            self._until = now + asked.for_s
            self._random = random.Random(asked.seed)  # noqa: S311

    def behaviour(self, now: float) -> Behaviour:
        """The behaviour in force."""
        return self._behaviour if now < self._until else HEALTHY

    def verdict(self, now: float) -> Verdict:
        """What becomes of the next call."""
        with self._lock:
            asked = self.behaviour(now)
            is_failing = asked.fail_rate > 0 and self._random.random() < asked.fail_rate
        return Verdict(asked.delay_ms / 1000, asked.status if is_failing else 0)
