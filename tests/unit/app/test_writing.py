"""Writes are taken whole or not at all, whatever stops them on the way."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from byway.admin.port import Outcome, SourceText, Target
from byway.ads.hub import Hub
from byway.app.catalogue import MeshCatalogue
from byway.app.kindname import kind_named
from byway.app.proposal import Proposals
from byway.app.staging import Staging
from byway.app.writing import Writer, resource_ids
from byway.base.clock import SystemClock
from byway.base.errors import UsageError
from byway.engine import Database
from byway.kinds.registry import KINDS
from byway.kinds.resource import ResourceId
from byway.sources.errors import StoreFault
from byway.sources.memory import MemorySource
from byway.sources.source import Change
from byway.telemetry.flow import Windows
from byway.testing.mesh import instance, service
from byway.world.host import World
from byway.xds.resource import Resource

SERVICES = service("link-service") + instance("link-1", app="link-service", address="10.0.0.2")
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec: {hosts: [link-service], http: [{route: [{destination: {host: link-service}}]}]}
"""


def staging(hub: Hub) -> Staging:
    """Stages that see no requests."""
    return Staging(hub, Windows(0.0), SystemClock(), lambda proxy: (proxy.namespace, proxy.instance))


class Refusal(msgspec.Struct, frozen=True):
    """A resource that the prover below does not take."""

    resource: Resource
    reason: str


class PickyProver:
    """Refuses resources by name; what it was asked is kept."""

    def __init__(self) -> None:
        self.refuses = ""
        self.asked: list[str] = []

    async def prove(self, resources: Sequence[Resource], /) -> Sequence[Refusal]:
        """The refusals."""
        self.asked += [resource.name for resource in resources]
        return [Refusal(r, "not like this") for r in resources if self.refuses and self.refuses in r.name]


class FullSource(MemorySource):
    """A store without room."""

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Fails."""
        raise StoreFault("the disk is full (make room)")


class Setting:
    """A writer with everything around it in memory."""

    def __init__(self, source: MemorySource | None = None) -> None:
        self.database = Database()
        self.world = World(self.database)
        self.catalogue = MeshCatalogue(self.database)
        self.prover = PickyProver()
        self.source = source or MemorySource()
        self.names: list[dict[str, str]] = []
        proposals = Proposals(self.database, self.world, self.catalogue, self.prover)
        hub = Hub(self.catalogue, SystemClock())
        self.writer = Writer(self.database, self.world, self.source, proposals, hub, self.names.append, staging(hub))

    async def apply(self, text: str, *, dry_run: bool = False) -> Outcome:
        """Applies one file."""
        return await self.writer.apply((SourceText("a.yaml", text),), "default", dry_run=dry_run)


async def test_what_is_applied_is_stored_published_and_named() -> None:
    setting = Setting()
    outcome = await setting.apply(SERVICES)
    assert [(c.kind, c.action) for c in outcome.changes] == [("Service", "created"), ("WorkloadEntry", "created")]
    assert len((await setting.source.load()).documents) == 2
    (names,) = setting.names
    assert list(names) == ["link-service.default.svc.cluster.local"]
    assert names["link-service.default.svc.cluster.local"].startswith("240.240.")


async def test_the_same_again_changes_nothing_and_keeps_the_address() -> None:
    setting = Setting()
    await setting.apply(SERVICES)
    revision = (await setting.source.load()).revision
    outcome = await setting.apply(SERVICES)
    assert {c.action for c in outcome.changes} == {"unchanged"}
    assert (await setting.source.load()).revision == revision
    assert len(setting.names) == 1


async def test_one_mistake_in_one_file_keeps_all_files_out() -> None:
    setting = Setting()
    sources = (SourceText("good.yaml", SERVICES), SourceText("bad.yaml", ROUTE.replace("hosts", "hostz")))
    outcome = await setting.writer.apply(sources, "default", dry_run=False)
    assert not outcome.is_accepted
    assert [d.position.file for d in outcome.diagnostics if d.position] == ["bad.yaml"] * len(outcome.diagnostics)
    assert len(setting.world) == 0


async def test_a_dry_run_says_what_would_happen_and_does_nothing() -> None:
    setting = Setting()
    outcome = await setting.apply(SERVICES, dry_run=True)
    assert {c.action for c in outcome.changes} == {"created"}
    assert outcome.rollout is None
    assert (len(setting.world), (await setting.source.load()).documents) == (0, ())
    await setting.catalogue.settled()


async def test_what_envoy_refuses_is_told_to_its_author_and_leaves_no_trace() -> None:
    setting = Setting()
    await setting.apply(SERVICES)
    setting.prover.refuses = "out/link-service"
    outcome = await setting.apply(ROUTE)
    (finding,) = [d for d in outcome.diagnostics if d.code == "refused-by-envoy"]
    assert (finding.subject, str(finding.position)[:7]) == ("VirtualService default/link-service", "a.yaml:")
    assert "not like this" in finding.message
    assert setting.world.resource(ResourceId("VirtualService", "default", "link-service")) is None
    assert len((await setting.source.load()).documents) == 2
    await setting.catalogue.settled()


async def test_a_route_that_no_proxy_holds_yet_is_proved_all_the_same() -> None:
    setting = Setting()
    await setting.apply(SERVICES)
    setting.prover.asked.clear()
    await setting.apply(ROUTE)
    assert "out/link-service.default.svc.cluster.local:8080" in setting.prover.asked


async def test_what_cannot_be_stored_is_taken_back() -> None:
    setting = Setting(FullSource())
    with pytest.raises(StoreFault):
        await setting.apply(SERVICES)
    assert len(setting.world) == 0
    assert setting.names == []
    await setting.catalogue.settled()


async def test_deleting_by_name_needs_all_to_be_there() -> None:
    setting = Setting()
    await setting.apply(SERVICES)
    ids = resource_ids((Target("svc", "link-service"), Target("vs", "nobody")), "default")
    refused = await setting.writer.delete_ids(ids, dry_run=False)
    assert [d.code for d in refused.diagnostics] == ["not-found"]
    assert len(setting.world) == 2
    taken = await setting.writer.delete_ids(ids[:1], dry_run=False)
    assert [(c.name, c.action) for c in taken.changes] == [("link-service", "deleted")]


async def delete(setting: Setting, text: str) -> Outcome:
    """Deletes what one file names."""
    return await setting.writer.delete((SourceText("a.yaml", text),), "default", dry_run=False)


async def test_a_file_whose_spec_cannot_be_read_still_deletes_what_it_names() -> None:
    setting = Setting()
    await setting.apply(SERVICES + "---" + ROUTE)
    outcome = await delete(setting, ROUTE.replace("hosts: ", "tls: [], hostz: "))
    assert outcome.diagnostics == ()
    assert [(c.kind, c.name, c.action) for c in outcome.changes] == [("VirtualService", "link-service", "deleted")]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("name: link-service}", "name: Link_Service}", "invalid-value"),
        ("metadata: {name: link-service}", "metadata: {}", "missing-field"),
        ("kind: VirtualService", "kind: VirtualServise", "unknown-kind"),
    ],
)
async def test_a_delete_needs_to_know_which(old: str, new: str, code: str) -> None:
    setting = Setting()
    await setting.apply(SERVICES + "---" + ROUTE)
    outcome = await delete(setting, ROUTE.replace(old, new))
    assert not outcome.is_accepted
    assert code in [d.code for d in outcome.diagnostics]
    assert setting.world.resource(ResourceId("VirtualService", "default", "link-service"))


async def test_a_virtual_service_without_hosts_names_the_host_that_was_probably_meant() -> None:
    setting = Setting()
    await setting.apply(SERVICES)
    outcome = await setting.apply(ROUTE.replace("hosts: [link-service], ", ""))
    (finding,) = outcome.diagnostics
    assert finding.code == "virtual-service-without-hosts"
    assert "hosts: [link-service]" in finding.hint


@pytest.mark.parametrize("word", ["vs", "VirtualService", "virtualservices", "virtualservice.networking.istio.io"])
def test_a_kind_may_be_named_in_any_usual_way(word: str) -> None:
    assert kind_named(word).name == "VirtualService"


PLURALS = {
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "Gateway": "gateways",
    "Sidecar": "sidecars",
    "WorkloadEntry": "workloadentries",
    "PeerAuthentication": "peerauthentications",
    "AuthorizationPolicy": "authorizationpolicies",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Namespace": "namespaces",
    "MeshConfig": "meshconfigs",
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_may_be_named_by_its_plural(kind: str) -> None:
    assert kind_named(PLURALS[kind]).name == kind


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there is no kind Deployment"):
        kind_named("Deployment")
