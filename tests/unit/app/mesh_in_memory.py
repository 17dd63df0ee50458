"""A writer with everything around it in memory, and a prover that refuses what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from byway.admin.port import Outcome, SourceText
from byway.ads.hub import Hub
from byway.ads.prover import Unproven
from byway.app.catalogue import MeshCatalogue
from byway.app.inspection import Inspection
from byway.app.proposal import Proposals
from byway.app.staging import Staging
from byway.app.standing import Standing
from byway.app.writing import Writer
from byway.base.clock import SystemClock
from byway.engine import Database
from byway.kinds.resource import ResourceId
from byway.sources.memory import MemorySource
from byway.telemetry.flow import Windows
from byway.testing.mesh import instance, service
from byway.world.host import World
from byway.xds.resource import Resource

SERVICES = (
    service("link-service") + instance("link-1", app="link-service", address="10.0.0.2") + service("user-service")
)


def route(name: str, *marks: str, host: str = "link-service") -> str:
    """A VirtualService in YAML whose routes have these marks in their headers, where a prover can see them."""
    headers = "".join(f"x-{mark}: '{mark}', " for mark in marks)
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{host}]
  http:
  - match: [{{uri: {{prefix: /{name}}}}}]
    route: [{{destination: {{host: {host}}}}}]
    headers: {{request: {{set: {{{headers}}}}}}}
"""


def route_id(name: str) -> ResourceId:
    """The id of such a VirtualService."""
    return ResourceId("VirtualService", "default", name)


class Refusal(msgspec.Struct, frozen=True):
    """A resource that the prover does not take."""

    resource: Resource
    reason: str


class MarkProver:
    """Refuses a resource that has all marks of one group in its bytes; keeps what it was asked."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, ...]] = []
        self.refused_bytes = b""
        self.is_away = False
        self.asked: list[str] = []
        self.n_proofs = 0

    async def prove(self, resources: Sequence[Resource], /) -> Sequence[Refusal | Unproven]:
        """The refusals; where it is away, it has no answer to anything."""
        self.asked += [resource.name for resource in resources]
        self.n_proofs += 1
        if self.is_away:
            return [Unproven(r, "Envoy ended while it was asked") for r in resources]
        marked = [
            Refusal(r, f"not with `{'` and `'.join(group)}`")
            for r in resources
            for group in self.groups
            if all(f"x-{mark}".encode() in r.any_bytes for mark in group)
        ]
        spoilt = [Refusal(r, "spoilt") for r in resources if self.refused_bytes and self.refused_bytes in r.any_bytes]
        return [*marked, *spoilt]


class MeshInMemory:
    """See the module; `path` is where proofs are remembered."""

    def __init__(self, source: MemorySource | None = None, prover: MarkProver | None = None) -> None:
        self.source = source or MemorySource()
        self.prover = prover or MarkProver()
        self.database = Database()
        self.world = World(self.database)
        self.catalogue = MeshCatalogue(self.database)
        self.clock = SystemClock()
        self.hub = Hub(self.catalogue, self.clock)
        self.proposals = Proposals(self.database, self.world, self.catalogue, self.prover)
        stages = Staging(self.hub, Windows(0.0), self.clock, lambda proxy: (proxy.namespace, proxy.instance))
        self.writer = Writer(self.database, self.world, self.source, self.proposals, self.hub, self._told, stages)
        self.quarantine = self.writer.quarantine
        self.standing = Standing(self.database, self.world, self.catalogue, self.hub, self.quarantine)
        self.names: list[dict[str, str]] = []

    def _told(self, names: dict[str, str]) -> None:
        self.names.append(names)

    async def apply(self, text: str, *, dry_run: bool = False, keep_going: bool = False) -> Outcome:
        """Applies one file."""
        files = (SourceText("a.yaml", text),)
        return await self.writer.apply(files, "default", dry_run=dry_run, keep_going=keep_going)

    async def delete(self, resource_id: ResourceId) -> Outcome:
        """Deletes one object."""
        return await self.writer.delete_ids((resource_id,), dry_run=False)

    async def stored(self) -> set[str]:
        """The names of the VirtualServices that are stored."""
        documents = (await self.source.load()).documents
        return {d.body["metadata"]["name"] for d in documents if d.body["kind"] == "VirtualService"}

    def inspection(self, path: Path) -> Inspection:
        """The inspection of a start."""
        return Inspection(self.world, self.source, self.proposals, self.quarantine, self.clock, path)

    async def started(self, path: Path, by: str = "0.1 1.40") -> Inspection:
        """Fills the world with what the source has, as a starting control plane does."""
        inspection = self.inspection(path)
        snapshot = await self.source.load()
        inspection.load(snapshot, by)
        self.writer.following.revision = snapshot.revision
        await inspection.begin()
        return inspection

    def headers(self, name: str) -> set[str]:
        """The headers that the object in force sets; empty where none is in force."""
        found = self.world.resource(route_id(name))
        return set(found.document.body["spec"]["http"][0]["headers"]["request"]["set"]) if found else set()
