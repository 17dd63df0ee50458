"""A control plane as the scale benches and tests run it: the real engine, catalogue, hub and writer over a generated world.

Two things are not as in production, so that a thousand proxies can be run beside it on two cores: it listens in the clear,
and it takes a proxy's word for who it is (`node`). What Envoy would accept is asked only where a prover is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import msgspec

from byway.admin.port import Outcome, SourceText
from byway.ads.catalogue import Proxy, Refusal
from byway.ads.hub import Hub, Pace
from byway.ads.rollout import Rollout
from byway.ads.server import SERVER_OPTIONS, Limits, discovery_handlers
from byway.app.catalogue import MeshCatalogue
from byway.app.proof import Prover
from byway.app.proposal import Proposals
from byway.app.staging import Staging
from byway.app.writing import Writer
from byway.base.clock import SystemClock
from byway.derive.endpoints import workload
from byway.engine import Database
from byway.identity.spiffe import workload_id
from byway.kinds.registry import KINDS
from byway.kinds.resource import Resource
from byway.model.names import DEFAULT_TRUST_DOMAIN
from byway.sources.memory import MemorySource
from byway.telemetry.flow import Windows
from byway.testing.written import yaml_of
from byway.world.change import Change
from byway.world.host import World

SOMEBODY: Final = "spiffe://cluster.local/ns/default/sa/somebody"
_LIMITS: Final = Limits(n_streams_per_identity=1_000_000, n_streams_per_instance=1_000_000)
_ACK_LIMIT_S: Final = 120.0
_GRACE_S: Final = 0.5


class TrustingCatalogue(MeshCatalogue):
    """Admits whoever names an instance that there is."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    def admit(self, peer: str, node_id: str, metadata: Mapping[str, str]) -> Proxy | Refusal:
        """The proxy that `node_id` names, whoever asks."""
        instance, _, namespace = node_id.split("~", 3)[2].rpartition(".")
        found = workload(self._database, namespace, instance)
        account = found.service_account if found else ""
        return super().admit(str(workload_id(DEFAULT_TRUST_DOMAIN, namespace, account)), node_id, metadata)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a change made the control plane do."""

    n_queries: int
    n_sent: int
    n_affected: int
    n_acked: int
    seconds: float  # accepted to the last ACK
    derive_s: float = 0.0  # of that, until it was published


class _Everything:
    """A prover that has no objection."""

    async def prove(self, resources: Sequence[Any], /) -> Sequence[Any]:
        return ()


class Plane:
    """See the module."""

    def __init__(
        self, resources: Sequence[Resource], *, pace: Pace | None = None, prover: Prover | None = None
    ) -> None:
        self.database = Database()
        self.world = World(self.database)
        self.world.apply(Change(tuple(resources)))
        self.catalogue = TrustingCatalogue(self.database)
        clock = SystemClock()
        self.hub = Hub(self.catalogue, clock, pace)
        self.proposals = Proposals(self.database, self.world, self.catalogue, prover or _Everything())
        windows = Windows(clock.monotonic())  # no proxy reports traffic here
        self.writer = Writer(
            self.database,
            self.world,
            MemorySource(),
            self.proposals,
            self.hub,
            lambda _: None,
            Staging(self.hub, windows, clock, lambda proxy: (proxy.namespace, proxy.instance)),
        )
        self.writer.names.publish()

    @contextlib.asynccontextmanager
    async def serving(self, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
        """Serves discovery in the clear; gives the address."""
        server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=20_000)
        server.add_generic_rpc_handlers(discovery_handlers(self.hub, limits=_LIMITS, peer_of=lambda _: SOMEBODY))
        port = server.add_insecure_port(address)
        await server.start()
        running = asyncio.create_task(self.hub.run())
        try:
            yield f"{address.rpartition(':')[0]}:{port}"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.stop(_GRACE_S)

    async def write(self, *resources: Resource) -> Work:
        """An operator applies resources, all the way: text, analysis, proof, storage, publication, ACKs."""
        before, n_sent = self.n_computed, self.hub.n_sent
        outcome: Outcome = await self.writer.apply(
            (SourceText("scale.yaml", yaml_of(resources)),), "default", dry_run=False
        )
        rollout = outcome.rollout
        if rollout is None:
            raise ValueError("; ".join(map(str, outcome.diagnostics)))
        return Work(
            n_queries=self.n_computed - before,
            n_sent=self.hub.n_sent - n_sent,
            n_affected=rollout.n_affected,
            n_acked=rollout.n_acked,
            seconds=rollout.seconds,
        )

    async def change(self, *resources: Resource) -> Work:
        """The same from the moment on when a change is accepted: derivation, publication, ACKs."""
        before, n_sent, began = self.n_computed, self.hub.n_sent, time.perf_counter()
        rollout = self.publish(*resources)
        derive_s = time.perf_counter() - began
        result = await rollout.done(_ACK_LIMIT_S)
        return Work(
            n_queries=self.n_computed - before,
            n_sent=self.hub.n_sent - n_sent,
            n_affected=result.n_affected,
            n_acked=result.n_acked,
            seconds=derive_s + result.seconds,
            derive_s=derive_s,
        )

    def publish(self, *resources: Resource) -> Rollout:
        """Makes a change and tells the proxies; the rollout as it begins."""
        self.world.apply(Change(resources))
        return self.hub.publish(frozenset(self.database.changed()))

    def tidy(self) -> int:
        """Forgets what nobody reads, as a control plane does every half minute; how many results that were."""
        return self.catalogue.release(lambda key: bool(self.hub.readers(key)))

    def resources(self) -> tuple[Resource, ...]:
        """All that is in the mesh now."""
        return tuple(resource for kind in KINDS for resource in self.world.resources(kind.name))

    @property
    def n_computed(self) -> int:
        """Queries that ran since the start."""
        return sum(counts.n_computed for counts in self.database.statistics().values())
