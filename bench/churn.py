"""Endpoint churn: so many instances a second change their weight, leave or come back; each change is followed to its last ACK.

Runs inside the control plane's process, so that what is measured begins when a change is accepted.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Final

import msgspec

from bench.plane import Plane
from bench.process import private_mb
from byway.kinds.resource import ResourceId
from byway.testing.generated_mesh import GeneratedMesh, entry
from byway.testing.population import Inhabitant, Instance, instances_of
from byway.world.change import Change

_ACK_LIMIT_S: Final = 30.0
_TIDY_S: Final = 30.0
_SETTLED: Final = 0.2
"""The share of the run after which memory is looked at for the first time."""


class Churned(msgspec.Struct, frozen=True, kw_only=True):
    """A run of churn: seconds from each acceptance to the last ACK, memory on the way, and how all instances ended."""

    n_changes: int
    n_unacked: int
    seconds: float
    p50_s: float
    p99_s: float
    longest_s: float
    late_s: float  # how far the changes themselves fell behind their times
    early_mb: float
    last_mb: float
    ends: dict[int, int]
    """Number of an instance → the weight that it has in the end; 0 for one that is gone."""


class Churn:
    """See the module; what is changed follows from the mesh alone."""

    def __init__(self, plane: Plane, mesh: GeneratedMesh) -> None:
        self._plane = plane
        self._instances: list[tuple[Inhabitant, Instance]] = [
            (service, instance) for service in mesh.population.services for instance in list(instances_of(service))[1:]
        ]
        self._ends: dict[int, int] = {}
        self._times: list[float] = []
        self._n_unacked = 0

    async def run(self, rate: float, seconds: float) -> Churned:
        """Changes `rate` instances a second; each service's first instance stays as it is, since proxies stand beside those."""
        chance = random.Random(rate)  # noqa: S311 - chance that can be had again
        began, n_changes, late_s, early_mb = time.monotonic(), int(rate * seconds), 0.0, 0.0
        tidied = began
        async with asyncio.TaskGroup() as following:
            for n in range(n_changes):
                due = began + n / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                late_s = max(late_s, time.monotonic() - due)
                following.create_task(self._follow(self._change(chance)))
                if time.monotonic() - tidied > _TIDY_S:
                    tidied = time.monotonic()
                    self._plane.tidy()
                if n == int(n_changes * _SETTLED):
                    early_mb = private_mb(os.getpid())
        times = sorted(self._times)
        return Churned(
            n_changes=n_changes,
            n_unacked=self._n_unacked,
            seconds=time.monotonic() - began,
            p50_s=times[len(times) // 2],
            p99_s=times[int(len(times) * 0.99)],
            longest_s=times[-1],
            late_s=late_s,
            early_mb=early_mb,
            last_mb=private_mb(os.getpid()),
            ends=self._ends,
        )

    def _change(self, chance: random.Random) -> Change:
        number = chance.randrange(len(self._instances))
        service, instance = self._instances[number]
        weight = 0 if chance.random() < 0.2 else chance.randrange(2, 100)
        self._ends[number] = weight
        return change_of(service, instance, weight)

    async def _follow(self, change: Change) -> None:
        began = time.monotonic()
        self._plane.world.apply(change)
        rollout = self._plane.hub.publish(frozenset(self._plane.database.changed()))
        result = await rollout.done(_ACK_LIMIT_S)
        self._n_unacked += result.n_affected - result.n_acked
        self._times.append(time.monotonic() - began)


def change_of(service: Inhabitant, instance: Instance, weight: int) -> Change:
    """The instance with this weight, or without the instance where the weight is 0."""
    if weight:
        return Change((entry(instance, service, weight=weight),))
    return Change((), (ResourceId("WorkloadEntry", instance.namespace, instance.name),))


def ended(mesh: GeneratedMesh, ends: dict[int, int]) -> tuple[Change, ...]:
    """What makes the mesh as it was at the end of a run."""
    instances = [(s, i) for s in mesh.population.services for i in list(instances_of(s))[1:]]
    return tuple(change_of(*instances[number], weight) for number, weight in ends.items())
