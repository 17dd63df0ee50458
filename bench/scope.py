"""How much a run measures: the whole set, or the quick one for a first impression."""

from __future__ import annotations

import sys
import time

import msgspec


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The counts that bound a run."""

    name: str
    n_rounds: int
    burst_s: float
    n_cost_rounds: int
    cost_burst_s: float
    n_counted_requests: int
    n_changes: int
    n_edits: int
    """Random ones, under load."""
    n_first_calls: int
    n_warm_requests: int
    """Of the fleet's load, before anything is measured: so many that all its usual edges have been called."""
    n_proxies: int
    n_pushes: int
    churn_s: float
    n_large_services: int
    """Of the mesh for which a control plane's memory is measured; it has ten times as many endpoints."""
    sidecar_sizes: tuple[int, ...]
    """Services of the meshes in which a sidecar's memory is measured."""
    n_sidecar_starts: int
    n_examples: int
    """Of random edits, restarts and refusals that fake proxies go through."""


FULL = Scope(
    name="full", n_rounds=9, burst_s=3.0, n_cost_rounds=30, cost_burst_s=1.0, n_counted_requests=1_000, n_changes=15,
    n_edits=1_000, n_first_calls=14, n_warm_requests=400, n_proxies=1_000, n_pushes=15, churn_s=600.0, n_large_services=10_000,
    n_examples=300, sidecar_sizes=(20, 100, 1_000, 5_000, 10_000), n_sidecar_starts=3,
)  # fmt: skip
QUICK = Scope(
    name="quick", n_rounds=3, burst_s=2.0, n_cost_rounds=5, cost_burst_s=1.0, n_counted_requests=300, n_changes=5, n_edits=100,
    n_first_calls=8, n_warm_requests=200, n_proxies=1_000, n_pushes=5, churn_s=15.0, n_large_services=2_000, n_examples=20,
    sidecar_sizes=(20, 200, 1_000), n_sidecar_starts=2,
)  # fmt: skip


class Progress:
    """Tells on the terminal what is being done."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        sys.stderr.write(f"[{self.seconds:5.0f} s] {text}\n")
        sys.stderr.flush()

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._began
