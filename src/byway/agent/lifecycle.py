"""The life of one process as a pure state machine: what happened and what time it is in, the next state and the
orders out.

    PLANNED ──start──► STARTING ──ready──► READY
                          │  ▲               │
                        exit └──deadline──┐  exit
                          ▼               │  ▼
                          └──────────► BACKOFF
    any ──stop──► DRAINING (drain, terminate, kill) ──exit──► STOPPED

It never gives up: the pause between two starts grows to a limit, and a process that ran long enough is forgiven its
past. A process that does not become ready within its time is not killed for it; its state says so, and the operator
decides.
"""

from __future__ import annotations

import enum
from typing import assert_never

import msgspec


class Phase(enum.Enum):
    """Where a process is in its life."""

    PLANNED = "planned"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    DRAINING = "draining"
    STOPPED = "stopped"


class Stage(enum.Enum):
    """How far a stop has come: each stage that runs out of time leads to the next."""

    NONE = "none"
    DRAIN = "drain"
    TERMINATE = "terminate"
    KILL = "kill"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a life, in seconds."""

    backoff_base_s: float = 0.1
    backoff_limit_s: float = 30.0
    forgiven_after_s: float = 60.0
    has_free_restart: bool = False  # the first failure costs no pause
    drain_s: float = 0.0
    terminate_s: float = 5.0


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """The state: `deadline` is when something is due without a further event, on the monotonic clock."""

    phase: Phase = Phase.PLANNED
    stage: Stage = Stage.NONE
    since: float = 0.0
    deadline: float | None = None
    n_restarts: int = 0
    n_failures: int = 0  # in a row, without a long enough run between them
    last_exit: str = ""
    is_to_restart: bool = False  # draining in order to start again

    def check_invariants(self) -> None:
        """What holds in every reachable state."""
        assert (self.stage is not Stage.NONE) == (self.phase is Phase.DRAINING)
        assert self.deadline is not None if self.phase is Phase.BACKOFF else True
        assert self.phase is Phase.DRAINING or not self.is_to_restart
        assert self.n_failures <= self.n_restarts + 1


class WasAskedToStart(msgspec.Struct, frozen=True):
    """The owner wants it to run."""


class DidBecomeReady(msgspec.Struct, frozen=True):
    """It answers."""


class DidExit(msgspec.Struct, frozen=True):
    """Its process ended, or never came to be."""

    how: str


class DidDrain(msgspec.Struct, frozen=True):
    """Nothing is left that its end would break."""


class DidReachDeadline(msgspec.Struct, frozen=True):
    """The deadline of the state has passed."""


class WasAskedToStop(msgspec.Struct, frozen=True):
    """The owner wants it to end, in order."""


class WasAskedToRestart(msgspec.Struct, frozen=True):
    """The owner wants it to end in order and to start again at once."""


Event = WasAskedToStart | DidBecomeReady | DidExit | DidDrain | DidReachDeadline | WasAskedToStop | WasAskedToRestart


class Action(enum.Enum):
    """An order to the outside."""

    SPAWN = "spawn"
    DRAIN = "drain"
    TERMINATE = "terminate"
    KILL = "kill"


Step = tuple[Life, tuple[Action, ...]]


def step(life: Life, event: Event, now: float, *, jitter: float, policy: Policy) -> Step:
    """What `event` makes of `life` at `now`; `jitter` in [0, 1) spreads restarts."""
    match event:
        case WasAskedToStart():
            return _start(life, now) if life.phase in (Phase.PLANNED, Phase.STOPPED) else (life, ())
        case DidBecomeReady():
            return (_at(life, Phase.READY, now), ()) if life.phase is Phase.STARTING else (life, ())
        case DidExit(how):
            return _exit(life, how, now, jitter, policy)
        case DidDrain():
            return _terminate(life, now, policy) if life.stage is Stage.DRAIN else (life, ())
        case DidReachDeadline():
            return _due(life, now, policy)
        case WasAskedToStop():
            return _stop(msgspec.structs.replace(life, is_to_restart=False), now, policy)
        case WasAskedToRestart():
            return _restart(life, now, policy)
        case _:
            assert_never(event)


def backoff_s(n_failures: int, jitter: float, policy: Policy) -> float:
    """The pause before the next start: doubled with every failure in a row, spread over its second half."""
    if policy.has_free_restart and n_failures == 1:
        return 0.0
    pause = min(policy.backoff_limit_s, policy.backoff_base_s * 2.0 ** min(n_failures - 1, 32))
    return pause * (0.5 + jitter / 2)


def _at(life: Life, phase: Phase, now: float) -> Life:
    return msgspec.structs.replace(life, phase=phase, stage=Stage.NONE, since=now, deadline=None)


def _start(life: Life, now: float) -> Step:
    return _at(msgspec.structs.replace(life, is_to_restart=False), Phase.STARTING, now), (Action.SPAWN,)


def _exit(life: Life, how: str, now: float, jitter: float, policy: Policy) -> Step:
    life = msgspec.structs.replace(life, last_exit=how)
    if life.phase is Phase.DRAINING:
        if life.is_to_restart:
            return _start(msgspec.structs.replace(life, n_restarts=life.n_restarts + 1), now)
        return _at(life, Phase.STOPPED, now), ()
    if life.phase not in (Phase.STARTING, Phase.READY):
        return life, ()
    ran_long = life.phase is Phase.READY and now - life.since >= policy.forgiven_after_s
    n_failures = 1 if ran_long else life.n_failures + 1
    paused = _at(life, Phase.BACKOFF, now)
    due = now + backoff_s(n_failures, jitter, policy)
    return msgspec.structs.replace(paused, deadline=due, n_failures=n_failures, n_restarts=life.n_restarts + 1), ()


def _due(life: Life, now: float, policy: Policy) -> Step:
    if life.deadline is None or now < life.deadline:
        return life, ()
    if life.phase is Phase.BACKOFF:
        return _start(life, now)
    if life.stage is Stage.DRAIN:
        return _terminate(life, now, policy)
    if life.stage is Stage.TERMINATE:
        return msgspec.structs.replace(life, stage=Stage.KILL, deadline=None), (Action.KILL,)
    return life, ()


def _stop(life: Life, now: float, policy: Policy) -> Step:
    if life.phase is Phase.DRAINING:
        return life, ()
    if life.phase not in (Phase.STARTING, Phase.READY):
        return _at(life, Phase.STOPPED, now), ()
    if policy.drain_s > 0 and life.phase is Phase.READY:
        draining = msgspec.structs.replace(life, phase=Phase.DRAINING, stage=Stage.DRAIN, since=now)
        return msgspec.structs.replace(draining, deadline=now + policy.drain_s), (Action.DRAIN,)
    return _terminate(life, now, policy)


def _restart(life: Life, now: float, policy: Policy) -> Step:
    if life.phase in (Phase.PLANNED, Phase.STOPPED, Phase.BACKOFF):
        return _start(life, now)
    if life.phase is Phase.DRAINING:
        return life, ()
    stopping, actions = _stop(life, now, policy)
    return msgspec.structs.replace(stopping, is_to_restart=True), actions


def _terminate(life: Life, now: float, policy: Policy) -> Step:
    ending = msgspec.structs.replace(
        life, phase=Phase.DRAINING, stage=Stage.TERMINATE, since=now, deadline=now + policy.terminate_s
    )
    return ending, (Action.TERMINATE,)
