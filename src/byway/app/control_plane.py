"""The control plane as a process: everything opened in order, served, and closed in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import grpc.aio
import structlog

from byway import __version__
from byway.admin.api import admin_app
from byway.admin.security import Door
from byway.ads.catalogue import Proxy, Refusal
from byway.ads.hub import Hub
from byway.ads.prover import EnvoyProver
from byway.ads.server import SERVER_OPTIONS, discovery_handlers
from byway.agent.binary import envoy_binary
from byway.agent.desk import AgentDesk
from byway.app.catalogue import MeshCatalogue
from byway.app.heap import collect_rarely, set_aside
from byway.app.inspection import Inspection
from byway.app.mesh import Mesh
from byway.app.origin import Origin, opened_origin
from byway.app.prewarm import Prewarm
from byway.app.proposal import Proposals
from byway.app.serving import HttpServer, address_parts, ended_by_signals, owner_watched
from byway.app.settings import ControlPlaneSettings
from byway.app.staging import Staging
from byway.app.standing import Standing
from byway.app.state import keep_admin
from byway.app.tenure import only_control_plane
from byway.app.turns import OTHERS_S
from byway.app.writing import Writer
from byway.authority.authority import Authority
from byway.authority.control_socket import control_socket_server
from byway.authority.issuance import Terms
from byway.authority.private_files import private_directory, write_atomically
from byway.authority.server import CertificateService
from byway.authority.serving import ServingCertificate
from byway.base.clock import SystemClock
from byway.base.duration import Duration
from byway.base.errors import FaultError
from byway.derive.endpoints import workload
from byway.derive.lowered import mesh_defaults, workload_of
from byway.engine import Database
from byway.identity.spiffe import SpiffeId, TrustDomain
from byway.model.mesh import MeshDefaults
from byway.model.names import DEFAULT_TRUST_DOMAIN
from byway.sources.source import Source
from byway.telemetry.exposition import Metric, Sample
from byway.telemetry.observatory import Observatory
from byway.telemetry.sender import Sender, SenderRefusedError
from byway.world.host import World
from byway.world.index import INDEX
from byway.xds.endpoints import peer_of

_SWEEP_S = 30.0
_GRACE_S = 1.0
_log = structlog.get_logger("byway.control_plane")


def run_control_plane(settings: ControlPlaneSettings) -> int:
    """Runs until told to stop; returns the exit code."""
    collect_rarely()
    asyncio.run(ControlPlane(settings).run())
    return 0


class ControlPlane:
    """One control plane."""

    def __init__(self, settings: ControlPlaneSettings) -> None:
        self._settings = settings
        self._state = Path(settings.state)
        self._clock = SystemClock()
        self._trust_domain = TrustDomain(DEFAULT_TRUST_DOMAIN)
        self.database = Database(timer=time.perf_counter)
        self.world = World(self.database, MeshDefaults(trust_domain=DEFAULT_TRUST_DOMAIN, sampling=settings.sampling))
        self.prewarm = Prewarm(self.database, self._clock, self._state / "calls.json")
        self.catalogue = MeshCatalogue(self.database, self.prewarm)
        self.hub = Hub(self.catalogue, self._clock)
        self.desk = AgentDesk(self._trust_domain, self._clock)
        self.observatory = Observatory(self._clock, self._sender)

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Serves until `stop` is set, a signal comes, or the owner is gone."""
        stop = stop or asyncio.Event()
        private_directory(self._state)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(only_control_plane(self._state))
            stack.enter_context(ended_by_signals(stop))
            stack.enter_context(owner_watched(self._settings.owner_pid, stop))
            tasks = await stack.enter_async_context(_ended_tasks())
            await self._open(stack, tasks)
            await _first(stop, tasks)

    async def _open(self, stack: contextlib.AsyncExitStack, tasks: list[asyncio.Task[None]]) -> None:
        settings = self._settings
        now = self._clock.now()
        origin = await opened_origin(
            self._state, settings.store, settings.ca, self._trust_domain, now, mesh=settings.mesh
        )
        stack.push_async_callback(origin.source.close)
        life_s = int(settings.certificate_life_s) or 86_400
        authority = Authority(
            origin.signer, self._trust_domain, self._clock, terms=Terms(usual=Duration.of(seconds=life_s))
        )
        binary = envoy_binary(settings.envoy, os.environ)
        envoy_version = await _envoy_version(binary)
        prover = await stack.enter_async_context(EnvoyProver(binary))
        writer = await self._filled(stack, tasks, origin, prover, f"{__version__} {envoy_version}")
        await self.prewarm.load()
        stack.push_async_callback(self.prewarm.save)
        mesh = Mesh(
            name=settings.mesh,
            is_shared=bool(settings.store),
            envoy_version=envoy_version,
            database=self.database,
            world=self.world,
            writer=writer,
            hub=self.hub,
            desk=self.desk,
            authority=authority,
            standing=Standing(self.database, self.world, self.catalogue, self.hub, writer.quarantine),
            away_since=origin.away_since,
        )
        tasks.append(asyncio.create_task(self.hub.run(), name="hub"))
        tasks.append(asyncio.create_task(self._tidy(), name="tidy"))
        learning = self.prewarm.run(self.observatory.windows, self.catalogue.settled)
        tasks.append(asyncio.create_task(learning, name="prewarm"))
        await self._open_doors(stack, tasks, authority, mesh, origin.name)
        mesh.is_ready = True

    async def _filled(
        self,
        stack: contextlib.AsyncExitStack,
        tasks: list[asyncio.Task[None]],
        origin: Origin,
        prover: EnvoyProver,
        by: str,
    ) -> Writer:
        """Fills the world with what is stored and may stand, and follows it; `by` names this Byway and its Envoy."""
        proposals = Proposals(self.database, self.world, self.catalogue, prover)
        writer = Writer(
            self.database,
            self.world,
            origin.source,
            proposals,
            self.hub,
            self.desk.publish_names,
            Staging(self.hub, self.observatory.windows, self._clock, self._workload),
        )
        inspection = Inspection(
            self.world, origin.source, proposals, writer.quarantine, self._clock, self._state / "proofs.json"
        )
        writer.following.check = origin.check
        proposals.is_shared = bool(self._settings.store)
        writer.turns.others_s = OTHERS_S if proposals.is_shared else 0.0
        writer.following.revision = await _load(origin.source, inspection, by)
        stack.push_async_callback(inspection.save)
        await inspection.begin()
        writer.names.publish()
        tasks.append(asyncio.create_task(writer.following.run(), name="following"))
        rest = inspection.run(writer.following.alone, writer.following.tell)
        tasks.append(asyncio.create_task(rest, name="inspection"))
        return writer

    async def _open_doors(
        self,
        stack: contextlib.AsyncExitStack,
        tasks: list[asyncio.Task[None]],
        authority: Authority,
        mesh: Mesh,
        store: str,
    ) -> None:
        settings = self._settings
        service = CertificateService(authority, self._may_impersonate)
        certificate = ServingCertificate(authority)
        server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=20_000)
        server.add_generic_rpc_handlers(
            (
                service.mutual_tls_handler(),
                *discovery_handlers(self.hub),
                self.desk.handlers(),
                *self.observatory.handlers(),
            )
        )
        try:
            server.add_secure_port(settings.xds, certificate.credentials())
        except RuntimeError:
            raise FaultError(f"cannot listen on {settings.xds} (another program does; choose one by --xds)") from None
        await server.start()
        stack.push_async_callback(server.stop, _GRACE_S)
        control = await control_socket_server(self._state / "control.sock", service)
        stack.push_async_callback(control.stop, _GRACE_S)
        host, port = address_parts(settings.admin)
        door = Door(token=self._token(), is_loopback=host in ("127.0.0.1", "::1", "localhost"))
        app = admin_app(mesh, self.observatory, door, providers=(lambda: self._metrics(authority, mesh),))
        http = HttpServer(app, host, port, lambda: self._tell(store))
        tasks.append(asyncio.create_task(_served(http, settings.admin), name="admin"))
        stack.callback(setattr, http, "should_exit", True)

    def _tell(self, store: str) -> None:
        """It is up: the command line is told where, and whoever started it by hand; a local mesh says so itself."""
        settings = self._settings
        keep_admin(self._state, settings.admin)
        if not settings.owner_pid:
            print(f"serving: xDS {settings.xds}, admin http://{settings.admin}, {store}", flush=True)  # noqa: T201

    def _token(self) -> str:
        path = self._state / "token"
        if path.exists():
            return path.read_text().strip()
        token = secrets.token_urlsafe(32)
        write_atomically(path, token.encode(), 0o600)
        return token

    def _may_impersonate(self, agent: SpiffeId, node: str, target: SpiffeId) -> bool:
        del agent  # every agent has the same identity; the node tells them apart
        if target.workload is None or target.trust_domain != self._trust_domain:
            return False
        namespace, account = target.workload
        ids = INDEX(self.database, ("workload-account", namespace, account))
        found = (workload_of(self.database, resource_id) for resource_id in ids)
        return any(w is not None and w.node == node for w in found)

    def _workload(self, proxy: Proxy) -> tuple[str, str]:
        found = workload(self.database, proxy.namespace, proxy.instance)
        return proxy.namespace, found.name if found else proxy.instance

    def _sender(self, peer: str, node_id: str, metadata: Mapping[str, str]) -> Sender:
        proxy = self.catalogue.admit(peer, node_id, metadata)
        if isinstance(proxy, Refusal):
            raise SenderRefusedError(proxy.reason)
        found = workload(self.database, proxy.namespace, proxy.instance)
        if found is None:
            raise SenderRefusedError(f"the mesh has no workload {proxy.namespace}/{proxy.instance}")
        return Sender(
            instance=proxy.instance, epoch=proxy.epoch, peer=peer_of(found, mesh_defaults(self.database).trust_domain)
        )

    def _metrics(self, authority: Authority, mesh: Mesh) -> Iterable[Metric | str]:
        yield self.hub.metrics()
        for name, value in authority.statistics().items():
            is_counter = name.endswith(("_count", "_total"))
            yield _metric(name, "counter" if is_counter else "gauge", "The certificate authority.", value)
        statistics = self.database.statistics().values()
        yield _metric("byway_resources", "gauge", "Resources of the mesh.", len(self.world))
        held = "Resources that are not in force as they are stored."
        yield _metric("byway_quarantined_resources", "gauge", held, mesh.n_quarantined)
        yield _metric("byway_store_up", "gauge", "Whether what is written can be stored.", mesh.store().is_up)
        yield _metric("byway_queries_held", "gauge", "Results that are held.", sum(s.n_memos for s in statistics))
        yield _metric(
            "byway_queries_computed_total", "counter", "Queries that ran.", sum(s.n_computed for s in statistics)
        )
        yield _metric(
            "byway_queries_reused_total",
            "counter",
            "Queries whose result was kept.",
            sum(s.n_reused for s in statistics),
        )
        yield _metric("byway_xds_connected", "gauge", "Proxies that are connected.", self.hub.n_connected)
        yield _metric("byway_xds_pushes_total", "counter", "Changes told to proxies.", self.hub.n_pushes)
        yield _metric("byway_xds_resources_sent_total", "counter", "Resources sent to proxies.", self.hub.n_sent)
        yield _metric("byway_xds_on_demand_total", "counter", "Names that a call had to wait for.", self.hub.n_asked)
        yield _metric("byway_calls_known", "gauge", "Calls that workloads are known to make.", self.prewarm.n_known)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.catalogue.release(lambda key: bool(self.hub.readers(key)))
            self.observatory.expire()


def _metric(name: str, kind: str, text: str, value: float) -> Metric:
    return Metric(
        name=name, kind="counter" if kind == "counter" else "gauge", help=text, samples=(Sample(float(value)),)
    )


async def _load(source: Source, inspection: Inspection, by: str) -> int:
    """Takes what is stored; the revision that it is at."""
    snapshot = await source.load()
    for diagnostic in snapshot.diagnostics:
        _log.error("stored document unreadable", diagnostic=str(diagnostic))
    n_resources = inspection.load(snapshot, by)
    set_aside()
    _log.info("resources loaded", n=n_resources)
    return snapshot.revision


async def _served(http: HttpServer, address: str) -> None:
    try:
        await http.serve()
    except SystemExit:
        raise FaultError(f"cannot listen on {address} (another program does; choose one by --admin)") from None


async def _envoy_version(binary: Path) -> str:
    process = await asyncio.create_subprocess_exec(str(binary), "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    parts = output.decode(errors="replace").split("version: ")[-1].split("/")
    return parts[1] if len(parts) > 1 else "unknown"


@contextlib.asynccontextmanager
async def _ended_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that live as long as the control plane; they are ended with it."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Waits for `stop`, or for a task to end, which none should; its exception is raised."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done:
        task.result()
