"""A control plane under mass: memory and start with a large mesh, and endpoint churn that goes on for long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from bench import control
from bench.churn import Churned, ended
from bench.plane import Plane
from bench.process import BenchFailed
from bench.push import LOOPBACK, in_sync, places
from bench.result import Goal, Result, quantity
from bench.scope import Progress, Scope
from byway.sources.source import Put
from byway.sources.store import StoreSource
from byway.testing.fleet import Fleet
from byway.testing.generated_mesh import GeneratedMesh
from byway.testing.population import Population, Size

GROUP: Final = "A control plane under mass"
CHURN_RATE: Final = 100.0
_WAIT_S: Final = 300.0
_AT_ONCE: Final = 5_000
_MOST_MB: Final = 400
_FLAT_PERCENT: Final = 10
_LARGE: Final = 10_000
_LONG_S: Final = 600.0
"""What the goals are for: a smaller mesh, or a shorter run, shows nothing about them."""


def memory(scope: Scope, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """A large mesh out of a store, and a thousand proxies."""
    return asyncio.run(_memory(scope, folder, progress))


def churn(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """Endpoints that come, go and change, a hundred a second."""
    return asyncio.run(_churn(scope, progress))


async def _memory(scope: Scope, folder: Path, progress: Progress) -> tuple[Result, ...]:
    size = Size(n_services=scope.n_large_services, n_endpoints=10 * scope.n_large_services)
    progress.say(f"mass: writing {size.n_services:,} services and {size.n_endpoints:,} endpoints into a store")
    store = folder / "mass.sqlite"
    await _store(store, GeneratedMesh(size))
    progress.say(f"mass: a control plane starts from it, and {scope.n_proxies} proxies connect")
    posted = places(Population(size), scope.n_proxies)
    async with control.plane(size.n_services, size.n_endpoints, store=str(store)) as plane:
        start_s = plane.start_s
        idle = await plane.seen()
        fleet = Fleet(plane.target, posted)
        await fleet.connect(_WAIT_S)
        await in_sync(plane, scope.n_proxies)
        seen = await plane.tidied()
        await fleet.disconnect()
    is_large = size.n_services >= _LARGE
    where = f"{size.n_services:,} services, {size.n_endpoints:,} endpoints out of its store"
    detail = f"{idle.private_mb:.0f} MB before the proxies came, {seen.n_memos:,} results held after it tidied up"
    return (
        _figure("control_plane_memory_mb", seen.private_mb, "MB", Goal(_MOST_MB) if is_large else None,
                f"RssAnon with {where}, {scope.n_proxies} proxies; {LOOPBACK}", detail),
        _figure("control_plane_start_s", start_s, "s", Goal(20) if is_large else None,
                f"process start, imports included, until it serves {where}; the same process", ""),
    )  # fmt: skip


async def _store(path: Path, mesh: GeneratedMesh) -> None:
    source = await StoreSource.open(path)
    puts = [Put(resource.document) for resource in mesh.resources()]
    for first in range(0, len(puts), _AT_ONCE):
        await source.commit(puts[first : first + _AT_ONCE])
    await source.close()


async def _churn(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    size = Size(n_services=1_000, n_endpoints=10_000)
    progress.say(
        f"mass: {CHURN_RATE:.0f} endpoint changes a second for {scope.churn_s:.0f} s, {scope.n_proxies} proxies"
    )
    mesh = GeneratedMesh(size)
    async with control.plane(size.n_services, size.n_endpoints) as plane:
        fleet = Fleet(plane.target, places(mesh.population, scope.n_proxies))
        await fleet.connect(_WAIT_S)
        await in_sync(plane, scope.n_proxies)
        found = await plane.churn(CHURN_RATE, scope.churn_s)
        await in_sync(plane, scope.n_proxies)
        mismatches = _mismatches(fleet, mesh, found)
        await fleet.disconnect()
    return _churn_told(found, mismatches, scope)


def _mismatches(fleet: Fleet, mesh: GeneratedMesh, found: Churned) -> int:
    fresh = Plane(mesh.resources())
    for change in ended(mesh, found.ends):
        fresh.world.apply(change)
    wrong = fleet.mismatches(fresh.catalogue)
    if wrong:
        raise BenchFailed(f"{len(wrong)} resources are not what they should be after churn, such as {wrong[0]}")
    return len(wrong)


def _churn_told(found: Churned, mismatches: int, scope: Scope) -> tuple[Result, ...]:
    how = (
        f"{found.n_changes:,} changes of one endpoint each (weight, leaving, coming back), {CHURN_RATE:.0f} a second; accepted "
        f"to last ACK of {scope.n_proxies} proxies, 1,000 services, 10,000 endpoints; {LOOPBACK}"
    )
    detail = (
        f"p50 {quantity(found.p50_s, 's')}, longest {quantity(found.longest_s, 's')}; {found.n_unacked} not acknowledged, "
        f"{mismatches} resources differ from scratch; changes came up to {quantity(found.late_s, 's')} late, "
        f"and took {found.seconds:.0f} s"
    )
    is_long = scope.churn_s >= _LONG_S
    growth = 100 * (found.last_mb - found.early_mb) / found.early_mb
    return (
        _figure("churn_push_p99_s", found.p99_s, "s", Goal(1) if is_long else None, how, detail, digits=3),
        _figure("churn_memory_growth_percent", growth, "%", Goal(_FLAT_PERCENT) if is_long else None,
                "private memory of the control plane at the end of the churn against that after its first fifth",
                f"{found.early_mb:.0f} to {found.last_mb:.0f} MB"),
    )  # fmt: skip


def _figure(name: str, value: float, unit: str, goal: Goal | None, how: str, detail: str, digits: int = 1) -> Result:
    return Result(name=name, value=round(value, digits), unit=unit, goal=goal, how=how, detail=detail, group=GROUP)
