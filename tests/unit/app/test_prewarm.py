"""What a starting proxy is given: what its workload was seen to call, by whatever side that was learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from byway.ads.catalogue import Proxy
from byway.app.catalogue import MeshCatalogue
from byway.app.prewarm import KNOWN_LIMIT, Prewarm
from byway.model.names import TYPE_CLUSTER, TYPE_VIRTUAL_HOST
from byway.telemetry.calls import FORGOTTEN_S
from byway.telemetry.flow import UNKNOWN, Flow, Windows
from byway.testing.mesh import TestMesh, instance, service

PORTS = ({"name": "http", "port": 8080}, {"name": "tcp-db", "port": 3306})
LINKS = (TYPE_VIRTUAL_HOST, "out/links.default.svc.cluster.local:8080")
USERS = (TYPE_VIRTUAL_HOST, "out/users.default.svc.cluster.local:8080")
DB = (TYPE_CLUSTER, "tcp|240.240.0.1:3306")
FLOW = Flow(
    reporter="source",
    source_workload="web-v1",
    source_namespace="default",
    source_principal=UNKNOWN,
    destination_service="links",
    destination_service_namespace="default",
    destination_workload="links-v1",
    destination_namespace="default",
    destination_version="v1",
    protocol="http",
    security=UNKNOWN,
)
SPLIT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop.example.com], http: [{route: [{destination: {host: links, port: {number: 8080}}}]}]}
"""
SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["./users"]}]}
"""


class TurnedClock:
    """A clock that moves when it is turned."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """The wall-clock time."""
        return self._now

    def monotonic(self) -> float:
        """The same, as seconds."""
        return self._now.timestamp()

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self._now += timedelta(seconds=seconds)


class Setting:
    """A mesh of a few services, and what is known of its calls."""

    def __init__(self, folder: Path) -> None:
        self.mesh = TestMesh()
        self.mesh.apply(
            service("links", vip="240.240.0.1", ports=PORTS)
            + service("users", vip="240.240.0.2")
            + instance("web-1", app="web", address="10.0.0.1")
            + instance("web-2", app="web", address="10.0.0.2")
            + instance("admin-1", app="admin", address="10.0.0.3")
        )
        self.clock = TurnedClock()
        self.path = folder / "calls.json"
        self.windows = Windows(self.clock.monotonic())
        self.restart()

    def restart(self) -> None:
        """A new process, which knows nothing yet."""
        self.prewarm = Prewarm(self.mesh.database, self.clock, self.path)
        self.catalogue = MeshCatalogue(self.mesh.database, self.prewarm)

    def asks(self, name: tuple[str, str], who: str = "web-1") -> None:
        """A proxy asked on demand."""
        self.catalogue.asked(proxy(who), *name)

    def known(self, who: str = "web-1") -> tuple[tuple[str, str], ...]:
        """What a proxy would start with."""
        return self.catalogue.known(proxy(who))

    async def looks(self, *flows: Flow) -> None:
        """These flows are reported, and looked at."""
        for flow in flows:
            self.windows.requests(self.clock.monotonic(), flow, 1, has_failed=False, is_recent=True)
        await self.prewarm.look(self.windows, self.catalogue.settled)


def proxy(who: str) -> Proxy:
    return Proxy(instance=who, namespace="default", identity="")


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_what_one_instance_asked_for_every_instance_of_the_workload_starts_with(setting: Setting) -> None:
    """The last asked first; another workload does not."""
    for name in (LINKS, DB, LINKS):
        setting.clock.turn(1)
        setting.asks(name)
    assert setting.known("web-1") == setting.known("web-2") == (LINKS, DB)
    assert setting.known("admin-1") == setting.known("nobody") == ()


def test_an_address_that_nobody_has_is_not_learned(setting: Setting) -> None:
    setting.asks((TYPE_CLUSTER, "tcp|240.240.0.1:99"))
    setting.asks((TYPE_CLUSTER, "tcp|240.240.9.9:3306"))
    setting.asks((TYPE_CLUSTER, "tcp|nonsense"))
    assert setting.prewarm.n_known == 0


def test_tcp_is_remembered_by_service_not_by_address(setting: Setting) -> None:
    """It has another address later; and none when the service is gone."""
    setting.asks(DB)
    setting.mesh.apply(service("links", vip="240.240.0.77", ports=PORTS))
    assert setting.known() == ((TYPE_CLUSTER, "tcp|240.240.0.77:3306"),)
    setting.mesh.delete("Service", "links")
    assert setting.known() == ()


async def test_traffic_keeps_a_call_known_and_silence_lets_it_go(setting: Setting) -> None:
    setting.asks(LINKS)
    setting.asks(USERS)
    setting.clock.turn(FORGOTTEN_S - 10)
    await setting.looks(FLOW)
    setting.clock.turn(20)
    await setting.looks()
    assert setting.known() == (LINKS,)
    setting.clock.turn(FORGOTTEN_S)
    await setting.looks()
    assert (setting.known(), setting.prewarm.n_known) == ((), 0)


async def test_traffic_teaches_what_nobody_was_seen_to_ask_for(setting: Setting) -> None:
    """Every port of that kind, since reports name none; what the mesh does not have is left out."""
    elsewhere = msgspec.structs.replace(FLOW, destination_service="nobody")
    await setting.looks(FLOW, elsewhere)
    assert setting.known() == (LINKS,)
    await setting.looks(msgspec.structs.replace(FLOW, protocol="tcp"))
    assert set(setting.known()) == {LINKS, DB}


async def test_traffic_of_a_host_with_routes_elsewhere_is_known_by_the_host(setting: Setting) -> None:
    """Reports name the service that answered; what is called is the host."""
    setting.mesh.apply(SPLIT)
    shop = (TYPE_VIRTUAL_HOST, "out/shop.example.com:80")
    setting.asks(shop)
    setting.clock.turn(FORGOTTEN_S - 10)
    await setting.looks(FLOW)
    setting.clock.turn(20)
    await setting.looks()
    assert setting.known() == (shop,)


async def test_what_is_known_survives_the_process(setting: Setting) -> None:
    setting.asks(LINKS)
    setting.asks(DB)
    await setting.prewarm.save()
    setting.restart()
    await setting.prewarm.load()
    assert set(setting.known()) == {LINKS, DB}
    assert setting.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b'[{"caller":1}]', b"\xff\xfe"])
async def test_a_file_that_cannot_be_read_costs_only_what_was_in_it(setting: Setting, content: bytes) -> None:
    setting.path.write_bytes(content)
    await setting.prewarm.load()
    assert setting.known() == ()
    setting.asks(LINKS)
    await setting.prewarm.save()
    setting.restart()
    await setting.prewarm.load()
    assert setting.known() == (LINKS,)


async def test_what_is_learned_is_kept_soon_without_being_told_to(setting: Setting) -> None:
    """A control plane that is killed later than that has not lost it; a directory that is not there does not end it."""
    setting.prewarm = Prewarm(setting.mesh.database, setting.clock, setting.path.parent / "absent" / "calls.json")
    await setting.prewarm.save()
    setting.restart()
    running = asyncio.create_task(setting.prewarm.run(setting.windows, setting.catalogue.settled))
    setting.asks(LINKS)
    try:
        await until(setting.path.exists)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    setting.restart()
    await setting.prewarm.load()
    assert setting.known() == (LINKS,)


async def until(is_so: Callable[[], bool]) -> None:
    """Asks again and again, with a bound."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while not is_so():
            turn = asyncio.Event()
            loop.call_later(0.02, turn.set)
            await turn.wait()


def test_what_a_sidecar_names_comes_after_what_was_learned_and_what_it_forbids_does_not_come(setting: Setting) -> None:
    """HTTP that it forbids is left out by its having no virtual host; TCP has a cluster all the same, so by name."""
    setting.asks(DB)
    assert setting.known() == (DB,)
    setting.mesh.apply(SIDECAR)
    assert setting.known("web-1") == (USERS,)
    assert setting.known("admin-1") == ()


def test_where_proxying_is_explicit_there_is_no_tcp(setting: Setting) -> None:
    setting.asks(DB)
    setting.asks(LINKS)
    annotations = {"byway.dev/interception": "explicit"}
    setting.mesh.apply(instance("web-1", app="web", address="10.0.0.1", annotations=annotations))
    assert setting.known() == (LINKS,)


def test_one_proxy_is_given_so_many_names_and_no_more(setting: Setting) -> None:
    ports = tuple({"name": f"http-{n}", "port": 9000 + n} for n in range(KNOWN_LIMIT + 20))
    setting.mesh.apply(service("users", vip="240.240.0.2", ports=ports) + "---" + SIDECAR.replace("./users", "./*"))
    assert len(setting.known()) == KNOWN_LIMIT


def test_learning_computes_nothing_again(setting: Setting) -> None:
    """What is known is no input: no proxy hears of it."""
    setting.known()
    setting.mesh.computed()
    setting.asks(LINKS)
    assert setting.mesh.database.changed() == []
    assert setting.mesh.computed() == []


@pytest.mark.parametrize("content", [b"\xff", b'[{"caller": "\xff', b"[" * 100_000, b"", b"{}"])
async def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    """What is known is a convenience; nothing that stands in its file keeps a control plane from starting."""
    path = tmp_path / "calls.json"
    path.write_bytes(content)
    learned = Prewarm(TestMesh().database, TurnedClock(), path)
    await learned.load()
    assert learned.n_known == 0
