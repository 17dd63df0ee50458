"""What it takes to tell a thousand proxies: a changed endpoint, a mesh-wide policy, a cold start, a restart.

Each against the bare server, which pushes the same bytes to as many of the same fake proxies. Both stand ready at once and
are measured in turn; a ratio is made within its round, and the median over the rounds is the figure.
"""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import Final

import msgspec

from bench import bare_server, control
from bench.control import Control
from bench.plane import Work
from bench.plane_process import Seen
from bench.process import BenchFailed
from bench.result import Goal, Result, Sample, figure
from bench.scope import Progress, Scope
from byway.testing.fleet import Fleet, Post, posts
from byway.testing.population import Inhabitant, Population, Size

GROUP: Final = "A thousand proxies"
N_KINDS: Final = 200
_PAUSE_S: Final = 0.4
"""More than the window within which changes to one proxy are pushed together."""
_WAIT_S: Final = 180.0
_POLL_S: Final = 0.2
LOOPBACK: Final = (
    "the real engine, catalogue, hub and ads server in a process of their own, over gRPC on loopback in the clear, believing "
    "each proxy's word for who it is, from an accepted change on: without reading, analysis, proof and storage"
)


def results(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    """All of it."""
    return (*asyncio.run(_pushes(scope, progress)), *asyncio.run(_starts(scope, progress)))


def common_service(population: Population) -> Inhabitant:
    """The service that every proxy of the bench calls."""
    return next(service for service in population.services if service.name == "ledger")


def places(population: Population, n_proxies: int) -> list[Post]:
    """Posts that all call the common service besides their own."""
    called = common_service(population)
    common = (False, f"out/{called.name}.{called.namespace}:{called.port}")
    found = list(islice(posts(population), n_proxies))
    return [msgspec.structs.replace(post, questions=tuple(dict.fromkeys((*post.questions, common)))) for post in found]


async def _pushes(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    size = Size(n_services=N_KINDS, n_endpoints=10 * N_KINDS)
    progress.say(f"push: {scope.n_proxies} proxies of {N_KINDS} kinds, on a control plane and on a bare server")
    population = Population(size)
    posted = places(population, scope.n_proxies)
    service = common_service(population).number
    async with control.plane(size.n_services, size.n_endpoints) as plane:
        fleet = Fleet(plane.target, posted)
        await fleet.connect(_WAIT_S)
        pushes = {do: await _recorded(fleet, plane, do, service) for do in ("endpoint", "policy")}
        async with control.running("bench.bare_server", bare_server.Order(pushes=pushes)) as bare:
            others = Fleet(bare.target, posted)
            await others.open(lambda envoy: True, _WAIT_S)
            await in_sync(bare, scope.n_proxies)
            found = {do: await _rounds(scope.n_pushes, plane, bare, do, service) for do in ("endpoint", "policy")}
            await others.disconnect()
        await fleet.disconnect()
    return _told(found, pushes)


async def _recorded(fleet: Fleet, plane: Control, do: str, service: int) -> list[bytes]:
    """What one proxy is sent for such a change; it is made twice, so that it is a change and no creation."""
    await plane.change(do, 1, service)
    await asyncio.sleep(_PAUSE_S)
    recorded = fleet.members[0].record()
    work = await plane.change(do, 2, service)
    if not recorded or work.n_acked != work.n_affected:
        raise BenchFailed(f"a change of kind {do} did not reach everybody: {work}")
    return list(recorded)


async def _rounds(n_rounds: int, plane: Control, bare: Control, do: str, service: int) -> list[tuple[Work, Work]]:
    found = []
    for n in range(n_rounds):
        seen = {}
        for server in (plane, bare) if n % 2 else (bare, plane):  # another one first each time
            await asyncio.sleep(_PAUSE_S)
            seen[server] = await server.change(do, 3 + n, service)
        work, at_bare = seen[plane], seen[bare]
        if work.n_acked != work.n_affected:
            raise BenchFailed(f"a change did not reach everybody: {work}")
        found.append((work, at_bare))
    return found


def _told(found: dict[str, list[tuple[Work, Work]]], pushes: dict[str, list[bytes]]) -> tuple[Result, ...]:
    words = {
        "endpoint": ("endpoint_push_ratio", "one endpoint of a service that all of them call", Goal(1.5)),
        "policy": ("meshwide_push_ratio", f"a mesh-wide AuthorizationPolicy; proxies of {N_KINDS} kinds", Goal(5)),
    }
    results = []
    for do, rounds in found.items():
        name, what, goal = words[do]
        ratios = Sample.of([work.seconds / at_bare.seconds for work, at_bare in rounds])
        work = rounds[-1][0]
        own = Sample.of([1000 * w.seconds for w, _ in rounds]).median
        derive = Sample.of([1000 * w.derive_s for w, _ in rounds]).median
        bare = Sample.of([1000 * b.seconds for _, b in rounds]).median
        detail = (
            f"{figure(own)} : {figure(bare)} ms, of which {figure(derive)} ms to derive; {work.n_queries} queries, "
            f"{work.n_sent} resources to {work.n_affected} proxies; rounds {ratios.spread}"
        )
        n_bytes = sum(map(len, pushes[do]))
        how = (
            f"{what}; change accepted to last ACK, against a bare grpc.aio server pushing {n_bytes:,} bytes in {len(pushes[do])} "
            f"message{'s' if len(pushes[do]) > 1 else ''} to each; median of {len(rounds)} rounds; {LOOPBACK}"
        )
        results.append(
            Result(name=name, value=round(ratios.median, 2), unit="×", goal=goal, how=how, detail=detail, group=GROUP)
        )
    return tuple(results)


async def in_sync(server: Control, n_proxies: int) -> Seen:
    """Waits until the server says that so many proxies are there, and hold what they should."""
    deadline = time.monotonic() + _WAIT_S
    while (seen := await server.seen()).n_in_sync < n_proxies:
        if time.monotonic() > deadline:
            raise BenchFailed(f"{seen.n_in_sync} of {n_proxies} proxies were in sync after {_WAIT_S:.0f} s")
        await asyncio.sleep(_POLL_S)
    return seen


async def _starts(scope: Scope, progress: Progress) -> tuple[Result, ...]:
    size = Size(n_services=1_000, n_endpoints=10_000)
    progress.say(
        f"push: {scope.n_proxies} proxies connect at once to a cold control plane of {size.n_services} services"
    )
    posted = places(Population(size), scope.n_proxies)
    async with control.plane(size.n_services, size.n_endpoints) as plane:
        fleet = Fleet(plane.target, posted)
        recorded = fleet.members[len(posted) // 2].record()
        began = time.perf_counter()
        await fleet.connect(_WAIT_S)
        cold_s = time.perf_counter() - began
        cold = await in_sync(plane, scope.n_proxies)
        said = list(recorded)
        n_resources = fleet.members[len(posted) // 2].envoy.n_received
        await fleet.disconnect()
    progress.say("push: the same at a bare server, and at a restarted control plane")
    async with control.running("bench.bare_server", bare_server.Order(first=said)) as bare:
        others = Fleet(bare.target, posted)
        began = time.perf_counter()
        await others.open(lambda envoy: envoy.n_received >= n_resources, _WAIT_S)
        bare_s = time.perf_counter() - began
        await others.disconnect()
    async with control.plane(size.n_services, size.n_endpoints) as plane:
        fleet.move(plane.target)
        began = time.perf_counter()
        await fleet.connect(_WAIT_S)
        again = await in_sync(plane, scope.n_proxies)
        again_s = time.perf_counter() - began
        await fleet.disconnect()
    how = (
        f"{scope.n_proxies} proxies connect at once to a cold control plane, {size.n_services:,} services, {size.n_endpoints:,} "
        "endpoints: until each holds all that it calls, against a bare grpc.aio server that says at once to each what one of "
        f"them was sent; {LOOPBACK}"
    )
    return _starts_told(scope, how, (cold_s, bare_s, again_s), cold, again)


def _starts_told(
    scope: Scope, how: str, seconds: tuple[float, float, float], cold: Seen, again: Seen
) -> tuple[Result, ...]:
    cold_s, bare_s, again_s = seconds
    return (
        Result(
            name="cold_connect_ratio",
            value=round(cold_s / bare_s, 2),
            unit="×",
            how=how,
            detail=f"{figure(cold_s)} : {figure(bare_s)} s; {cold.n_computed:,} queries, {cold.n_sent:,} resources sent, "
            f"{cold.private_mb:.0f} MB private at its end, {cold.processor_s:.1f} s of processor time",
            group=GROUP,
        ),
        Result(
            name="restart_resources_sent",
            value=again.n_sent,
            unit="resources",
            goal=Goal(0),
            how=f"the same {scope.n_proxies} proxies come back to a restarted control plane with nothing changed; {LOOPBACK}",
            detail=f"all in sync after {figure(again_s)} s",
            group=GROUP,
        ),
    )
