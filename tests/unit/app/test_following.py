"""Control planes over one source come to the same world, whoever writes where."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byway.admin.port import Outcome, SourceText
from byway.ads.hub import Hub
from byway.app.catalogue import MeshCatalogue
from byway.app.proposal import Proposals
from byway.app.staging import Staging
from byway.app.writing import Writer
from byway.base.clock import SystemClock
from byway.engine import Database
from byway.kinds import Document
from byway.kinds.decode import resource_id
from byway.kinds.registry import KINDS
from byway.kinds.resource import ResourceId
from byway.sources.errors import RevisionConflict, StoreFault
from byway.sources.memory import MemorySource
from byway.sources.source import Batch, Change, Put
from byway.telemetry.flow import Windows
from byway.testing.mesh import service
from byway.world.host import World

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: [{name}], http: [{{timeout: {seconds}s, route: [{{destination: {{host: {name}}}}}]}}]}}
"""


class Plane:
    """One control plane without its doors."""

    def __init__(self, source: MemorySource) -> None:
        self.database = Database()
        self.world = World(self.database)
        self.catalogue = MeshCatalogue(self.database)
        self.hub = Hub(self.catalogue, SystemClock())
        self.names: list[dict[str, str]] = []
        self.n_proved = 0
        self.writer = Writer(
            self.database,
            self.world,
            source,
            Proposals(self.database, self.world, self.catalogue, None),
            self.hub,
            self.names.append,
            Staging(self.hub, Windows(0.0), SystemClock(), lambda proxy: (proxy.namespace, proxy.instance)),
        )

    @property
    def following(self) -> Any:
        """What keeps it at its source."""
        return self.writer.following

    async def apply(self, text: str, *, bake_s: float | None = None) -> Outcome:
        """Applies a text."""
        return await self.writer.apply((SourceText("a.yaml", text),), "default", dry_run=False, bake_s=bake_s)

    async def delete(self, text: str) -> Outcome:
        """Deletes what a text names."""
        return await self.writer.delete((SourceText("a.yaml", text),), "default", dry_run=False)

    def bodies(self) -> dict[ResourceId, Any]:
        """All that its world holds."""
        return {r.id: r.document.body for kind in KINDS for r in self.world.resources(kind.name)}


@contextlib.asynccontextmanager
async def planes(source: MemorySource, n: int = 2) -> AsyncIterator[list[Plane]]:
    """Control planes that follow one source."""
    found = [Plane(source) for _ in range(n)]
    tasks = [asyncio.create_task(plane.following.run()) for plane in found]
    try:
        yield found
    finally:
        await source.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)


async def until(condition: Callable[[], object]) -> None:
    """Lets everything else have its turn until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await turn()


async def turn() -> None:
    """Lets everything else have its turn."""
    await asyncio.sleep(0)


async def stored(source: MemorySource) -> dict[ResourceId, Any]:
    """All that the source holds."""
    return {i: d.body for d in (await source.load()).documents if (i := resource_id(d)) is not None}


async def test_what_one_takes_the_other_has_with_names_and_addresses() -> None:
    source = MemorySource()
    async with planes(source) as (first, second):
        await first.apply(service("docs"))
        await until(lambda: second.following.revision == 1)
        assert second.bodies() == first.bodies() == await stored(source)
        assert second.names == first.names != []


async def test_its_own_commits_are_not_applied_twice() -> None:
    """The world's revision moves once for each write, on either side."""
    source = MemorySource()
    async with planes(source) as (first, second):
        for number in range(5):
            await first.apply(service(f"s{number}"))
        n_writes = first.database.revision
        await until(lambda: second.following.revision == 5)
        await first.writer.delete((SourceText("a.yaml", service("nobody")),), "default", dry_run=True)
        assert first.database.revision == n_writes
        assert first.hub.revision == 5


async def test_who_is_second_catches_up_and_proposes_again() -> None:
    """Both write at once; neither is lost, and no two services share an address."""
    source = MemorySource()
    async with planes(source) as found:
        outcomes = await asyncio.gather(
            *(plane.apply(service(f"s{n}-{m}")) for m in range(4) for n, plane in enumerate(found))
        )
        assert all(outcome.is_accepted for outcome in outcomes)
        await until(lambda: all(plane.following.revision == 8 for plane in found))
        assert found[0].bodies() == found[1].bodies() == await stored(source)
        assert len({body["spec"]["clusterIP"] for body in found[0].bodies().values()}) == 8


class _Contended(MemorySource):
    """Somebody else is always first."""

    n_refused = 0

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Refuses, after another's commit."""
        self.n_refused += 1
        meta = {"name": f"other{self.n_refused}"}
        await super().commit([Put(Document({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))])
        assert expected is not None
        raise RevisionConflict(expected, expected + 1)


async def test_who_is_second_each_time_is_told_so_within_bounds() -> None:
    source = _Contended()
    plane = Plane(source)
    outcome = await plane.apply(service("docs"))
    assert [d.code for d in outcome.diagnostics] == ["conflict"]
    assert source.n_refused == 5
    assert plane.world.resource(ResourceId("Service", "default", "docs")) is None
    assert plane.bodies() == await stored(source), "what others committed meanwhile is there"
    await plane.catalogue.settled()


async def test_what_does_not_decode_here_stays_as_it_was_last_good() -> None:
    """Such as what a later Byway has written; it holds up nothing else."""
    source = MemorySource()
    async with planes(source, 1) as (plane,):
        await plane.apply(service("docs") + service("other"))
        docs = ResourceId("Service", "default", "docs")
        good = plane.bodies()[docs]
        spec = {"ports": "whatever a later Byway means by this"}
        meta = {"name": "docs", "namespace": "default"}
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}}
        bad = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
        await source.commit([Put(Document(bad)), Put(Document(new))])
        await until(lambda: plane.following.revision == 2)
        assert plane.bodies()[docs] == good
        assert ResourceId("Namespace", "", "blue") in plane.bodies()


async def test_who_has_missed_too_much_takes_the_difference_alone() -> None:
    """What has not changed is not touched: nothing is derived from it again, nothing sent."""
    source = MemorySource(history=2)
    first, late = Plane(source), Plane(source)
    for name in ("kept", "gone", "changed"):
        await first.apply(service(name))
    following = asyncio.create_task(late.following.run())
    await until(lambda: late.following.revision == 3)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    kept = late.world.resource(ResourceId("Service", "default", "kept"))
    await first.delete(service("gone"))
    for number in (1, 2, 3):
        await first.apply(service("changed", ports=({"name": "http", "port": 8000 + number},)))
    await first.apply(service("new"))
    following = asyncio.create_task(late.following.run())
    await until(lambda: late.following.revision == 8)
    assert late.bodies() == first.bodies() == await stored(source)
    assert late.world.resource(ResourceId("Service", "default", "kept")) is kept
    await source.close()
    await following


class _Replaced(MemorySource):
    """A source that has lost its past."""

    def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """As if nothing had been before."""
        return super().watch(since if since == 0 else since + 1_000)


async def test_a_source_that_became_another_meshs_empties_nothing() -> None:
    """A database that was dropped and made anew is told, and what runs stays."""
    source = _Replaced()
    plane = Plane(source)
    asked = asyncio.Event()

    async def check() -> None:
        asked.set()
        raise StoreFault("the store is not this mesh's any more")

    await plane.apply(service("docs"))
    plane.following.check = check
    await source.commit([])
    following = asyncio.create_task(plane.following.run())
    async with asyncio.timeout(5):
        await asked.wait()
    assert len(plane.bodies()) == 1
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_staged_change_lets_others_changes_through_and_is_stored_after_them() -> None:
    source = MemorySource()
    async with planes(source) as (first, second):
        await first.apply(service("docs") + service("other"))
        await until(lambda: second.following.revision == 1)
        staged = asyncio.create_task(first.apply(ROUTE.format(name="docs", seconds=1), bake_s=0.2))
        await until(lambda: len(first.bodies()) == 3)
        await second.apply(ROUTE.format(name="other", seconds=2))
        outcome = await staged
        assert outcome.is_accepted
        await until(lambda: first.following.revision == second.following.revision == 3)
        assert first.bodies() == second.bodies() == await stored(source)


NAMES = ("a", "b", "c")
edits = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from(("service", "route", "delete")), st.sampled_from(NAMES), st.integers(1, 3)
    ),
    max_size=12,
)


async def _edit(plane: Plane, what: str, name: str, number: int) -> None:
    ports = ({"name": "http", "port": 8000 + number},)
    if what == "delete":
        await plane.delete(service(name))
    elif what == "service":
        await plane.apply(service(name, ports=ports))
    else:
        await plane.apply(ROUTE.format(name=name, seconds=number))


@given(edits)
@settings(max_examples=40, deadline=None)
def test_after_any_writes_at_either_all_worlds_are_what_is_stored(script: list[tuple[int, str, str, int]]) -> None:
    """Written at once, in any order, with a history so short that some have to load everything again."""

    async def run() -> None:
        source = MemorySource(history=2)
        async with planes(source) as found:
            await asyncio.gather(*(_edit(found[where], what, name, n) for where, what, name, n in script))
            revision = (await source.load()).revision
            await until(lambda: all(plane.following.revision == revision for plane in found))
            assert found[0].bodies() == found[1].bodies() == await stored(source)

    asyncio.run(run())


@pytest.mark.parametrize("n_others", [1, 5])
async def test_a_caught_up_write_reports_what_it_did(n_others: int) -> None:
    """What others did meanwhile is not told as done by it."""
    source = MemorySource()
    first, second = Plane(source), Plane(source)
    for number in range(n_others):
        await first.apply(service(f"s{number}"))
    outcome = await second.apply(service("docs"))
    assert [(change.name, change.action) for change in outcome.changes] == [("docs", "created")]
    assert len(second.bodies()) == n_others + 1
