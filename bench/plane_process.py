"""A control plane in a process of its own, told what to do by lines of JSON on its standard input.

The first line is its `Order`. It prints a line once it serves, and one for each command.
With `store`, the mesh is read from a store as a control plane
reads it at its start; else it is generated. See `Control` for the other side.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.churn import Churn
from bench.plane import Plane
from bench.process import private_mb
from byway.app.heap import collect_rarely, set_aside
from byway.app.inspection import Inspection
from byway.base.clock import SystemClock
from byway.sources.store import StoreSource
from byway.testing.generated_mesh import GeneratedMesh, entry, mesh_access
from byway.testing.population import Size, instances_of


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve."""

    n_services: int
    n_endpoints: int
    address: str = "127.0.0.1:0"
    store: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """It serves."""

    target: str
    seconds: float  # from the start of the process's own work: without the imports
    n_resources: int


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do: `endpoint` and `policy` change a resource to its variant `n` (0: as it was made), `churn` many of them
    for `seconds`; `tidy` forgets what nobody reads; anything else only looks.
    """

    do: str
    n: int = 0
    service: int = 0
    rate: float = 0
    seconds: float = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The process as it is."""

    n_connected: int
    n_in_sync: int
    n_sent: int
    n_computed: int
    n_memos: int
    private_mb: float
    processor_s: float


class Serving:
    """The process's side."""

    def __init__(self, order: Order, commands: asyncio.StreamReader) -> None:
        self._order = order
        self._commands = commands
        self._mesh = GeneratedMesh(Size(n_services=order.n_services, n_endpoints=order.n_endpoints))

    async def run(self) -> None:
        """Serves until its input ends."""
        began = time.perf_counter()
        collect_rarely()
        plane = await self._plane()
        set_aside()
        async with plane.serving(self._order.address) as target:
            tell(Ready(target=target, seconds=time.perf_counter() - began, n_resources=len(plane.world)))
            while line := await self._commands.readline():
                tell(await self._answer(plane, msgspec.json.decode(line, type=Command)))

    async def _plane(self) -> Plane:
        if not self._order.store:
            return Plane(self._mesh.resources())
        plane, path = Plane(()), Path(self._order.store)
        source = await StoreSource.open(path)
        quarantine, proofs = plane.writer.quarantine, path.with_suffix(".proofs")
        inspection = Inspection(plane.world, source, plane.proposals, quarantine, SystemClock(), proofs)
        inspection.load(await source.load(), "")
        await source.close()
        plane.writer.names.publish()
        return plane

    async def _answer(self, plane: Plane, command: Command) -> Any:
        service = self._mesh.population.services[command.service]
        if command.do == "endpoint":
            changed = entry(next(instances_of(service)), service, weight=1 + command.n)
            return await plane.change(changed)
        if command.do == "policy":
            return await plane.change(mesh_access(denied=f"/internal-{command.n}/*") if command.n else mesh_access())
        if command.do == "churn":
            return await Churn(plane, self._mesh).run(command.rate, command.seconds)
        if command.do == "tidy":
            plane.tidy()
        return _seen(plane)


def _seen(plane: Plane) -> Seen:
    statistics = plane.database.statistics().values()
    return Seen(
        n_connected=plane.hub.n_connected,
        n_in_sync=sum(proxy.is_in_sync for proxy in plane.hub.snapshot()),
        n_sent=plane.hub.n_sent,
        n_computed=plane.n_computed,
        n_memos=sum(counts.n_memos for counts in statistics),
        private_mb=private_mb(os.getpid()),
        processor_s=time.process_time(),
    )


def tell(answer: Any) -> None:
    """Prints an answer."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def lines() -> asyncio.StreamReader:
    """The commands, line by line."""
    reader = asyncio.StreamReader(limit=16 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _main() -> None:
    commands = await lines()
    await Serving(msgspec.json.decode(await commands.readline(), type=Order), commands).run()


if __name__ == "__main__":
    asyncio.run(_main())
