"""Random edits, restarts, reconnects and refusals on fake proxies: does any end with something else than derivation from scratch?

The machine is the one of the tests, with as many examples as the run has time for.
"""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bench.result import Goal, Result
from bench.scope import Progress, Scope
from tests.unit.scale.test_convergence import POSTS, Convergence

GROUP: Final = "A control plane under mass"
_STEPS: Final = 50
_SHOWN: Final = 300


def results(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """The figure: how many of the examples ended apart (it stops at the first; the test makes it small)."""
    progress.say(f"convergence: {scope.n_examples} sequences of up to {_STEPS} random events")
    chosen = settings(
        max_examples=scope.n_examples, stateful_step_count=_STEPS, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    n_apart, detail = 0, ""
    try:
        run_state_machine_as_test(Convergence, settings=chosen)
    except AssertionError as apart:
        n_apart, detail = 1, str(apart).partition("\n")[0][:_SHOWN]
    how = (
        f"{scope.n_examples} random sequences of edits, calls, refusals, lost streams, restarts of proxies and of the control "
        f"plane, time and tidying, {len(POSTS)} fake proxies on the real session, hub, engine and catalogue, in memory; a "
        "cluster whose endpoints were refused waits for Envoy's own time-out"
    )
    return (
        Result(
            name="convergence_mismatches",
            value=n_apart,
            unit="sequences",
            goal=Goal(0),
            how=how,
            detail=detail,
            group=GROUP,
        ),
    )
