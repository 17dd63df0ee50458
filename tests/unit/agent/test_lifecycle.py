"""The life of a process: restarts with growing pauses, ordered ends, and no state without a way on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.agent.lifecycle import (
    Action,
    DidBecomeReady,
    DidDrain,
    DidExit,
    DidReachDeadline,
    Event,
    Life,
    Phase,
    Policy,
    Stage,
    WasAskedToRestart,
    WasAskedToStart,
    WasAskedToStop,
    backoff_s,
    step,
)

POLICY = Policy(backoff_base_s=0.1, backoff_limit_s=2.0, forgiven_after_s=60, drain_s=5, terminate_s=3)


def lived(*events: tuple[float, Event], policy: Policy = POLICY) -> tuple[Life, list[Action]]:
    """The life after `events` (time, event), and all orders given."""
    life = Life()
    orders: list[Action] = []
    for now, event in events:
        life, actions = step(life, event, now, jitter=1.0, policy=policy)
        life.check_invariants()
        orders += actions
    return life, orders


def test_a_started_process_becomes_ready() -> None:
    """Start, then the first sign of readiness."""
    life, orders = lived((0, WasAskedToStart()), (1, DidBecomeReady()))
    assert (life.phase, orders) == (Phase.READY, [Action.SPAWN])


def test_a_crashed_process_is_started_again_after_a_pause() -> None:
    """The pause is a deadline; what exits says how it ended."""
    life, _ = lived((0, WasAskedToStart()), (1, DidBecomeReady()), (2, DidExit("killed by SIGKILL")))
    assert (life.phase, life.last_exit) == (Phase.BACKOFF, "killed by SIGKILL")
    assert life.deadline == pytest.approx(2.1)
    again, orders = step(life, DidReachDeadline(), 2.1, jitter=0, policy=POLICY)
    assert (again.phase, orders, again.n_restarts) == (Phase.STARTING, (Action.SPAWN,), 1)


def test_a_deadline_that_is_not_due_does_nothing() -> None:
    """A timer that rings early changes no state."""
    life, _ = lived((0, WasAskedToStart()), (1, DidExit("exited with code 1")))
    assert step(life, DidReachDeadline(), 1.0, jitter=0, policy=POLICY) == (life, ())


def test_pauses_double_up_to_their_limit_and_are_spread() -> None:
    """Half of a pause is certain, half is chance."""
    assert [backoff_s(n, 1.0, POLICY) for n in (1, 2, 3, 4, 5, 6, 40)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2, 2])
    assert backoff_s(3, 0.0, POLICY) == pytest.approx(0.2)


def test_a_free_restart_is_the_first_failure_only() -> None:
    """The process is back at once; one that fails again pauses like any other."""
    policy = Policy(backoff_base_s=0.1, has_free_restart=True)
    assert [backoff_s(n, 1.0, policy) for n in (1, 2, 3)] == pytest.approx([0, 0.2, 0.4])


def test_a_process_that_ran_long_enough_is_forgiven() -> None:
    """The failures in a row start anew."""
    crash: list[tuple[float, Event]] = [
        (0.0, WasAskedToStart()),
        (0.1, DidExit("x")),
        (9.0, DidReachDeadline()),
        (9.1, DidBecomeReady()),
    ]
    soon, _ = lived(*crash, (10.0, DidExit("x")))
    late, _ = lived(*crash, (70.0, DidExit("x")))
    assert (soon.n_failures, late.n_failures) == (2, 1)


def test_a_stop_drains_then_terminates_then_kills() -> None:
    """Each stage that runs out of time leads to the next; the exit ends it wherever it is."""
    stop: list[tuple[float, Event]] = [(0, WasAskedToStart()), (1, DidBecomeReady()), (2, WasAskedToStop())]
    life, orders = lived(*stop, (7, DidReachDeadline()), (10, DidReachDeadline()))
    assert (life.stage, orders[1:]) == (Stage.KILL, [Action.DRAIN, Action.TERMINATE, Action.KILL])
    stopped, _ = lived(*stop, (2.5, DidDrain()), (2.6, DidExit("exited with code 0")))
    assert stopped.phase is Phase.STOPPED


def test_what_is_not_ready_is_not_drained() -> None:
    """A process that never served has nothing to drain."""
    _, orders = lived((0, WasAskedToStart()), (1, WasAskedToStop()))
    assert orders == [Action.SPAWN, Action.TERMINATE]


def test_a_pause_can_be_stopped() -> None:
    """A process in back-off has nothing to end."""
    life, orders = lived((0, WasAskedToStart()), (1, DidExit("x")), (1.05, WasAskedToStop()))
    assert (life.phase, orders) == (Phase.STOPPED, [Action.SPAWN])


def test_a_restart_ends_in_order_and_starts_at_once() -> None:
    """Draining, exit, and a new start without a pause."""
    life, orders = lived(
        (0, WasAskedToStart()),
        (1, DidBecomeReady()),
        (2, WasAskedToRestart()),
        (3, DidDrain()),
        (4, DidExit("exited with code 0")),
    )
    assert (life.phase, life.n_failures) == (Phase.STARTING, 0)
    assert orders == [Action.SPAWN, Action.DRAIN, Action.TERMINATE, Action.SPAWN]


def test_a_stop_during_a_restart_wins() -> None:
    """The process does not come back."""
    life, _ = lived(
        (0, WasAskedToStart()),
        (1, DidBecomeReady()),
        (2, WasAskedToRestart()),
        (2.5, WasAskedToStop()),
        (3, DidExit("exited with code 0")),
    )
    assert life.phase is Phase.STOPPED


EVENTS = st.sampled_from(
    [
        WasAskedToStart(),
        DidBecomeReady(),
        DidExit("x"),
        DidDrain(),
        DidReachDeadline(),
        WasAskedToStop(),
        WasAskedToRestart(),
    ]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100))))
def test_after_any_events_invariants_hold_and_a_stop_ends_it(events: list[tuple[Event, float]]) -> None:
    """No sequence of events breaks an invariant, spawns twice without an exit between, or makes a stop impossible."""
    life, now, is_running = Life(), 0.0, False
    for event, pause in events:
        now += pause
        if isinstance(event, DidExit):
            if not is_running:
                continue
            is_running = False
        life, actions = step(life, event, now, jitter=0.5, policy=POLICY)
        life.check_invariants()
        if Action.SPAWN in actions:
            assert not is_running
            is_running = True
    life, _ = step(life, WasAskedToStop(), now, jitter=0.5, policy=POLICY)
    while life.deadline is not None:
        now = life.deadline
        life, _ = step(life, DidReachDeadline(), now, jitter=0.5, policy=POLICY)
    if is_running:
        life, _ = step(life, DidExit("killed by SIGKILL"), now, jitter=0.5, policy=POLICY)
    assert life.phase is Phase.STOPPED
