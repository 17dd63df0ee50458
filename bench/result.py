"""A figure and what it means: the value, its unit, the goal it is held against, and how it was measured.

`latest.json` keys results by name; a name, once published, keeps its meaning, so that runs can be compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """The most that a figure may be."""

    at_most: float

    def is_met(self, value: float) -> bool:
        """Whether the value is within it."""
        return value <= self.at_most


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of one figure: how it moves along `x`, a line for each way of doing it."""

    title: str
    unit: str
    x_axis: str
    x: tuple[str, ...]
    lines: dict[str, tuple[float, ...]]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a run; `detail` has the absolute figures and the spread beside it."""

    name: str
    value: float
    unit: str
    how: str
    goal: Goal | None = None
    detail: str = ""
    group: str = ""
    curve: Curve | None = None
    measured: str = ""
    """When its run began, as `2026-01-31 09:30` in UTC: what one run measured has one mark. "": not known."""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met(self.value) else "missed"


class Sample(msgspec.Struct, frozen=True):
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """A sample of these values, at least one."""
        assert values, "a sample needs a value"
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """The lowest and the highest value."""
        return f"{figure(min(self.values))} to {figure(max(self.values))}"


def figure(value: float) -> str:
    """A number as people read it: three significant digits, no exponent."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def quantity(value: float, unit: str) -> str:
    """A number with its unit; less than a second is told in milliseconds."""
    is_short = unit == "s" and 0 < abs(value) < 1
    return f"{figure(round(1000 * value, 2))} ms" if is_short else f"{figure(value)} {unit}"
