"""Stages: a change goes to one proxy, then to a quarter of those that it concerns, then to all.

After each stage the proxies must have acknowledged it, and for a while the requests that their workloads make and serve must
not fail more often than before. Where they do, whoever asked takes the change back. Until the last stage has passed the
change is not stored: a control plane that dies on the way comes back without it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import msgspec

from byway.admin.port import Stage
from byway.ads.catalogue import Key, Proxy
from byway.ads.hub import Hub
from byway.ads.rollout import Rollout, RolloutResult
from byway.base.clock import Clock
from byway.telemetry.flow import Flow, Windows

_ACK_LIMIT_S = 10.0
_SHARE = 0.25
_LOOK_S = 0.5
_BASE_S = 60.0
_MORE_FAILURES = 0.05
_FEWEST_FAILURES = 3

Workload = tuple[str, str]
"""Namespace and name, as telemetry knows them."""


class Staged(msgspec.Struct, frozen=True):
    """How far a change has come, stage by stage; `trouble` says why it went no further, "" where it is everywhere."""

    stages: tuple[Stage, ...]
    rollout: RolloutResult
    trouble: str = ""


class Requests(msgspec.Struct, frozen=True):
    """How many requests there were, and how many failed."""

    n: float = 0.0
    n_failed: float = 0.0

    @property
    def failure_share(self) -> float:
        """Between 0 and 1."""
        return self.n_failed / self.n if self.n else 0.0

    def since(self, earlier: Requests) -> Requests:
        """What came after `earlier`."""
        return Requests(self.n - earlier.n, self.n_failed - earlier.n_failed)


class Staging:
    """Publishes a change by stages; its caller holds the only lock."""

    def __init__(self, hub: Hub, windows: Windows, clock: Clock, workload_of: Callable[[Proxy], Workload]) -> None:
        self._hub = hub
        self._windows = windows
        self._clock = clock
        self._workload_of = workload_of

    async def run(self, keys: frozenset[Key], bake_s: float) -> Staged:
        """Tells the fleet, as far as the fleet bears it; each stage is watched for `bake_s` seconds."""
        concerned = sorted({proxy for key in keys for proxy in self._hub.readers(key)}, key=_place)
        stages: list[Stage] = []
        rollouts: list[Rollout] = []
        for n in sizes(len(concerned)):
            told = concerned[:n]
            workloads = {self._workload_of(proxy) for proxy in told}
            usual, before = self._requests(workloads)
            rollouts.append(self._hub.publish(keys, frozenset(told)))
            result = await rollouts[-1].done(_ACK_LIMIT_S, rollouts[:-1])
            trouble = _unacknowledged(result)
            seen = Requests()
            if not trouble:
                seen, trouble = await self._watched(workloads, usual, before, bake_s)
            stages.append(Stage(n_proxies=n, n_requests=seen.n, failure_share=seen.failure_share))
            if trouble:
                return Staged(tuple(stages), result, trouble)
        # Whoever connected meanwhile has read the change already; nobody is left out.
        last = self._hub.publish(keys)
        return Staged(tuple(stages), await last.done(_ACK_LIMIT_S, rollouts))

    async def _watched(
        self, workloads: set[Workload], usual: Requests, before: Requests, bake_s: float
    ) -> tuple[Requests, str]:
        """What the workloads' requests came to, and what is wrong with that; ends at the first trouble."""
        until = self._clock.monotonic() + bake_s
        while True:
            seen = self._requests(workloads)[1].since(before)
            trouble = too_many_failures(seen, usual)
            left_s = until - self._clock.monotonic()
            if trouble or left_s <= 0:
                return seen, trouble
            await asyncio.sleep(min(_LOOK_S, left_s))

    def _requests(self, workloads: set[Workload]) -> tuple[Requests, Requests]:
        """What these workloads' requests came to, lately and ever."""
        found = [o for o in self._windows.observed(self._clock.monotonic(), _BASE_S) if _workload(o.flow) in workloads]
        recent = Requests(sum(o.recent.n_requests for o in found), sum(o.recent.n_failures for o in found))
        return recent, Requests(sum(o.n_requests_ever for o in found), sum(o.n_failures_ever for o in found))


def sizes(n: int) -> tuple[int, ...]:
    """How many proxies have the change after each stage: one, a quarter, all."""
    return tuple(sorted({min(1, n), math.ceil(n * _SHARE), n} - {0}))


def too_many_failures(seen: Requests, usual: Requests) -> str:
    """Why these requests are worse than usual; "" where they are not."""
    worse = seen.failure_share - usual.failure_share
    if seen.n_failed < _FEWEST_FAILURES or worse <= _MORE_FAILURES:
        return ""
    return (
        f"{seen.n_failed:.0f} of {seen.n:.0f} requests failed ({seen.failure_share:.0%}, before "
        f"{usual.failure_share:.0%})"
    )


def _unacknowledged(result: RolloutResult) -> str:
    if result.refusals:
        nack = result.refusals[0]
        return f"Envoy of {nack.proxy.instance}.{nack.proxy.namespace} refuses it: {nack.reason}"
    n_late = result.n_affected - result.n_acked
    return f"{n_late} of {result.n_affected} proxies have not answered" if n_late else ""


def _workload(flow: Flow) -> Workload:
    """The side of a flow whose proxy reported it."""
    if flow.reporter == "source":
        return flow.source_namespace, flow.source_workload
    return flow.destination_namespace, flow.destination_workload


def _place(proxy: Proxy) -> tuple[str, str]:
    return proxy.namespace, proxy.instance
