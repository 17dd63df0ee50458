"""Doors that open are open before any caller is told, and those that shut are shut after all callers were."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from byway.admin.port import Outcome, SourceText
from byway.ads.catalogue import Proxy
from byway.ads.hub import Hub, Pace
from byway.app.catalogue import MeshCatalogue
from byway.app.proposal import Proposals
from byway.app.staging import Staging
from byway.app.writing import Writer
from byway.base.clock import SystemClock
from byway.derive.transition import STILL_OPEN
from byway.engine import Database
from byway.model import names
from byway.sources.memory import MemorySource
from byway.telemetry.flow import Windows
from byway.testing.fake_envoy import FakeEnvoy, ProtobufContent
from byway.testing.fake_proxy import sent
from byway.testing.mesh import instance, service
from byway.world.host import World

MESH = (
    service("back")
    + instance("back-1", app="back", address="10.0.0.2", annotations={"byway.dev/interception": "iptables"})
    + service("front")
    + instance("front-1", app="front", address="10.0.0.3", annotations={"byway.dev/interception": "iptables"})
)
BACK = "out/back:8080"
SERVER, CLIENT = "back-1", "front-1"


def policy(mode: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: back}}
spec: {{selector: {{matchLabels: {{app: back}}}}, mtls: {{mode: {mode}}}}}
"""


def staging(hub: Hub) -> Staging:
    """Stages that see no requests."""
    return Staging(hub, Windows(0.0), SystemClock(), lambda proxy: (proxy.namespace, proxy.instance))


class Fleet:
    """A writer, a hub, and two Envoys that note who was told in which order."""

    def __init__(self) -> None:
        self.database = Database()
        world = World(self.database)
        catalogue = MeshCatalogue(self.database)
        self.hub = Hub(catalogue, SystemClock(), Pace(window_s=0.01, tick_s=0.02))
        self.proposals = Proposals(self.database, world, catalogue, None)
        self.writer = Writer(
            self.database, world, MemorySource(), self.proposals, self.hub, self._tell, staging(self.hub)
        )
        self.told: list[str] = []
        self.tasks = [asyncio.create_task(self.hub.run())]
        self.deaf = asyncio.Event()  # cleared: nobody answers

    def _tell(self, table: dict[str, str]) -> None:
        self.told.append("names")

    async def apply(self, text: str) -> Outcome:
        """Applies a text, forgetting what was told before."""
        self.told.clear()
        return await self.writer.apply((SourceText("a.yaml", text),), "default", dry_run=False)

    async def connect(self, name: str, host: str = "") -> None:
        """An Envoy that holds all that it needs, and the routes to `host`."""
        envoy = FakeEnvoy(content=ProtobufContent())
        account = name.removesuffix("-1")
        identity = f"spiffe://cluster.local/ns/default/sa/{account}"
        stream = await self.hub.connect(Proxy(instance=name, namespace="default", identity=identity))

        async def run() -> None:
            for request in envoy.connect():
                await self.hub.receive(stream, request)
            while (message := await stream.outbox.next()) is not None:
                self.told.append(name)
                await self.deaf.wait()
                for request in envoy.receive(sent(message)):
                    await self.hub.receive(stream, request)

        self.tasks.append(asyncio.create_task(run()))
        await until(lambda: bool(envoy.of(names.TYPE_LISTENER)) and stream.session.is_in_sync)
        if host:
            for request in envoy.ask_virtual_host(host):
                await self.hub.receive(stream, request)
            await until(lambda: envoy.virtual_host(host) is not None and stream.session.is_in_sync)

    @property
    def order(self) -> list[str]:
        """Who was told, each run of messages to one of them once."""
        return [who for n, who in enumerate(self.told) if n == 0 or self.told[n - 1] != who]


async def until(condition: Callable[[], bool]) -> None:
    """Lets everything else have its turn until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await turn()


async def turn() -> None:
    """Lets everything else have its turn."""
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(*others: str) -> AsyncIterator[Fleet]:
    """A fleet in which `front` has called `back`, but for those who are `others`' proxies."""
    fleet = Fleet()
    fleet.deaf.set()
    try:
        await fleet.apply(MESH)
        if SERVER not in others:
            await fleet.connect(SERVER)
        if CLIENT not in others:
            await fleet.connect(CLIENT, BACK)
        yield fleet
    finally:
        for task in fleet.tasks:
            task.cancel()
        await asyncio.gather(*fleet.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        ("STRICT", "DISABLE", [SERVER, CLIENT]),
        ("DISABLE", "STRICT", [CLIENT, SERVER]),
        ("STRICT", "PERMISSIVE", [SERVER]),
        ("PERMISSIVE", "STRICT", [SERVER]),
        ("PERMISSIVE", "DISABLE", [CLIENT]),
        ("DISABLE", "PERMISSIVE", [CLIENT]),
    ],
)
async def test_a_change_of_the_mode_is_told_in_turn(before: str, after: str, order: list[str]) -> None:
    async with running() as fleet:
        await fleet.apply(policy(before))
        outcome = await fleet.apply(policy(after))
        assert fleet.order == order
        assert outcome.rollout is not None
        assert (outcome.rollout.n_acked, outcome.rollout.refusals) == (outcome.rollout.n_affected, ())
        assert STILL_OPEN(fleet.database, ("default", SERVER)) is None


async def test_a_new_port_is_open_before_its_name_is_known() -> None:
    async with running() as fleet:
        ports = ({"name": "http", "port": 80, "targetPort": 9000},)
        text = service("inside", vip="240.240.0.7", ports=ports).replace("app: inside", "app: back")
        await fleet.apply(text)
        assert fleet.order == [SERVER, "names"]


async def test_a_write_that_is_given_up_half_way_reaches_everybody_all_the_same() -> None:
    async with running() as fleet:
        fleet.deaf.clear()
        write = asyncio.create_task(fleet.apply(policy("DISABLE")))
        await until(lambda: fleet.told == [SERVER])
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        fleet.deaf.set()
        await until(lambda: fleet.order == [SERVER, CLIENT])
        assert STILL_OPEN(fleet.database, ("default", SERVER)) is None


@pytest.mark.parametrize(
    ("before", "after", "who", "host", "n_turns"),
    [("STRICT", "DISABLE", CLIENT, BACK, 1), ("DISABLE", "STRICT", SERVER, "", 2)],
)
async def test_callers_and_servers_at_different_control_planes_wait_for_each_other(
    before: str, after: str, who: str, host: str, n_turns: int
) -> None:
    """Of two that share a source one has the callers and one the servers; each takes the other's turns as well."""
    loop = asyncio.get_running_loop()
    async with running(SERVER, CLIENT) as fleet:
        await fleet.connect(who, host)
        await fleet.apply(policy(before))
        fleet.proposals.is_shared = True
        fleet.writer.turns.others_s = 0.3
        fleet.told.clear()
        began = loop.time()
        writing = asyncio.create_task(fleet.apply(policy(after)))
        await until(lambda: who in fleet.told)
        assert loop.time() - began >= 0.3 * n_turns
        await writing
