"""The agent of one host: brings the plan about, keeps it so, and leaves it running when it dies.

`run` ends in one of two ways. When `stop` is set (or the API asks, or the owner process is gone) everything is
drained and removed. When it is cancelled or killed, applications, Envoys, the DNS server and the network stay as they
are, and the next agent adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import structlog

from byway.agent import api, launch, lifecycle, own_credential, teardown
from byway.agent.bodies import DnsBody, proxy_user
from byway.agent.bootstrap import ProxyLimits
from byway.agent.control import ControlLink
from byway.agent.credentials import Credential, Credentials
from byway.agent.dns_server import NAMES_FILE
from byway.agent.envoy_admin import AdminAnswer
from byway.agent.frames import Hello, WorkloadReport
from byway.agent.interception import network
from byway.agent.issuer import GrpcIssuer
from byway.agent.layout import Layout, private_directory, write_whole
from byway.agent.lifecycle import Phase, Policy
from byway.agent.plan import Plan, read_plan
from byway.agent.supervision import Supervisor
from byway.agent.uplink import Uplink, addresses_for
from byway.agent.workload import Means, Workload
from byway.base.clock import Clock
from byway.base.errors import FaultError, UsageError
from byway.identity.bundle import trust_bundle
from byway.identity.roles import agent_id
from byway.identity.spiffe import TrustDomain

_ROOT_WAIT_S: Final = 60.0
_ROOT_POLL_S: Final = 0.1
_STOP_LIMIT_S: Final = 20.0

log = structlog.get_logger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the composition root decides."""

    state: Path
    server: str  # host:port of the control plane's xDS and CSR port; of several, with commas between
    envoy: Path
    owner_pid: int = 0  # 0: nobody; else everything ends in order when that process is gone
    control_socket: Path | None = None  # None: `control.sock` in the state directory
    root_certificate: Path | None = None  # None: `root-cert.pem` in the state directory
    certificate_life_s: int = 0  # 0: what the CA gives
    limits: ProxyLimits = ProxyLimits()
    drain_s: float = 5.0


class AgentRuns(UsageError):
    """Another agent serves this state directory."""


class HostAgent:
    """One agent; `run` is its life."""

    def __init__(self, settings: Settings, *, clock: Clock, chance: random.Random) -> None:
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self.layout = Layout(settings.state)
        self.plan: Plan = read_plan(self.layout.plan)
        self._servers = addresses_for(self.plan.node, settings.server)
        self.workloads: dict[str, Workload] = {}
        self.dns: Supervisor | None = None
        self._credentials: Credentials | None = None
        self._link: ControlLink | None = None
        self._stop = asyncio.Event()
        self._is_drained = False
        self._named = asyncio.Event()

    async def run(self) -> None:
        """Runs the plan until stopped (everything is removed) or cancelled (everything stays)."""
        private_directory(self.layout.run)
        with self._only_agent():
            with self._owner_watched():
                if not self._stop.is_set():
                    await self._serve()
            await asyncio.to_thread(teardown.remove_everything, self.layout.state)

    def request_stop(self, *, is_drained: bool = False) -> None:
        """Begins to end everything in order. Draining takes its time, and spares those who call from outside."""
        self._is_drained = is_drained
        self._stop.set()

    def restart(self, instance: str) -> None:
        """Restarts a workload's application (its Envoy, where it has no application)."""
        self._workload(instance).restart()

    async def envoy_answer(self, instance: str, path: str) -> AdminAnswer:
        """A read of an Envoy's admin interface."""
        workload = self._workload(instance)
        if workload.admin is None:
            raise UsageError(f"{workload.plan.instance} has no Envoy: its gRPC library is a client of the mesh itself")
        return await workload.admin.answer("GET", path)

    def reports(self) -> tuple[WorkloadReport, ...]:
        """The state of every workload."""
        statuses = self._credentials.statuses() if self._credentials else ()
        faults = {s.identity: s.fault for s in statuses}
        return tuple(w.report(faults.get(w.identity, "") or _misfortune(w)) for w in self.workloads.values())

    def _workload(self, instance: str) -> Workload:
        return self.workloads[self.plan.workload(instance).instance]

    async def _serve(self) -> None:
        await asyncio.to_thread(self._prepare)
        server = DnsBody(self.plan, self.layout)
        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(api.serve(self, self.layout.api_socket))]
            if self.plan.intercepted:
                server.take_back()
                self.dns = self._dns_supervisor(server)
                serving.append(tasks.create_task(self.dns.run()))
                self.dns.tell(lifecycle.WasAskedToStart())
            serving.append(tasks.create_task(self._keep_workloads()))
            await self._stop.wait()
            await self._stop_all()
            for task in serving:
                task.cancel()
        server.sockets.close()

    def _prepare(self) -> None:
        """What blocks, done in a thread: the network, and the end of what the plan no longer holds."""
        planned = {w.instance for w in self.plan.workloads}
        for instance in self.layout.remembered():
            if instance not in planned:
                teardown.remove_instance(self.layout, instance)
        network.build(self.plan, self.layout)
        if self.plan.intercepted:
            private_directory(self.layout.dns, proxy_user())

    async def _keep_workloads(self) -> None:
        credentials = await self._opened_credentials()
        self._credentials = credentials
        settings = self._settings
        means = Means(
            plan=self.plan,
            layout=self.layout,
            binary=settings.envoy,
            limits=settings.limits,
            clock=self._clock,
            chance=self._chance,
            drain_s=settings.drain_s,
            on_change=self._report,
            names_known=self._names_known,
        )
        for planned in self.plan.workloads:
            uplink = Uplink(self._servers, self._current(credentials, planned.instance))
            workload = self.workloads[planned.instance] = Workload(planned, means, uplink)
            credentials.hold(workload.identity)
        credentials.subscribe(self._rotate)
        credentials.subscribe(self._keep)
        agent_uplink = Uplink(self._servers, lambda: credentials.agent)
        credentials.subscribe(lambda _: agent_uplink.credential_arrived())
        self._link = ControlLink(
            agent_uplink,
            Hello(self.plan.node, self.plan.mesh),
            respond=self.envoy_answer,
            on_names=self._take_names,
            chance=self._chance,
        )
        self._resume(credentials)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(credentials.run())
                tasks.create_task(self._link.run())
                tasks.create_task(agent_uplink.stay_home())
                for workload in self.workloads.values():
                    tasks.create_task(workload.run())
        finally:
            await agent_uplink.close()

    async def _opened_credentials(self) -> Credentials:
        settings, state = self._settings, self.layout.state
        root = settings.root_certificate or state / "root-cert.pem"
        try:
            async with asyncio.timeout(_ROOT_WAIT_S):
                while not root.exists():  # noqa: ASYNC110 - another process writes it, and tells nobody
                    await asyncio.sleep(_ROOT_POLL_S)
        except TimeoutError:
            raise FaultError(f"no root certificate at {root} (is the control plane running?)") from None
        issuer = GrpcIssuer(
            settings.control_socket or state / "control.sock", self._servers, own=lambda: credentials.agent
        )
        credentials = Credentials(
            self.plan.node,
            TrustDomain(self.plan.trust_domain),
            issuer,
            trust_bundle(root.read_bytes()),
            clock=self._clock,
            jitter=self._chance.random,
            wished_s=settings.certificate_life_s,
        )
        return credentials

    def _resume(self, credentials: Credentials) -> None:
        """Goes on with the credential of an earlier run, once all who want to hear of it listen."""
        trust_domain, now = TrustDomain(self.plan.trust_domain), self._clock.now()
        kept = own_credential.kept(self.layout.credential, self.plan.node, trust_domain, credentials.pinned, now)
        if kept is not None:
            credentials.adopt(kept)

    def _keep(self, credential: Credential) -> None:
        if credential.identity == agent_id(TrustDomain(self.plan.trust_domain)):
            own_credential.keep(self.layout.credential, credential)

    def _current(self, credentials: Credentials, instance: str) -> Callable[[], Credential | None]:
        return lambda: credentials.current(self.workloads[instance].identity)

    def _rotate(self, credential: Credential) -> None:
        for workload in self.workloads.values():
            if workload.identity == credential.identity:
                workload.rotate(credential)
        self._report()

    def _report(self) -> None:
        if self._link is not None:
            self._link.report(self.reports())

    async def _names_known(self) -> None:
        if (self.layout.dns / NAMES_FILE).exists():
            self._named.set()
        await self._named.wait()
        if self.dns is not None:
            await self.dns.reached(Phase.READY)

    def _take_names(self, names: dict[str, str]) -> None:
        if self.plan.intercepted:
            path = self.layout.dns / NAMES_FILE
            try:
                write_whole(path, msgspec.json.encode(names), proxy_user())
            except OSError as error:
                if not path.exists():
                    raise
                log.error("names stay as they were", file=str(path), error=str(error))
        self._named.set()

    def _dns_supervisor(self, server: DnsBody) -> Supervisor:
        return Supervisor(
            "dns",
            server,
            record=self.layout.record("dns"),
            log_file=self.layout.log("dns"),
            policy=Policy(backoff_limit_s=5.0, has_free_restart=True),  # queries are waiting in its sockets
            clock=self._clock,
            chance=self._chance,
            on_change=self._report,
        )

    async def _stop_all(self) -> None:
        """Ends every workload, all at once."""
        stopping = [asyncio.create_task(w.stop(is_drained=self._is_drained)) for w in self.workloads.values()]
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=_STOP_LIMIT_S)
            for task in late:
                task.cancel()

    @contextlib.contextmanager
    def _only_agent(self) -> Iterator[None]:
        """Leaves this process's own record, held like those of the processes it starts."""
        record = str(self.layout.record("agent"))
        lock = os.open(f"{record}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise AgentRuns(f"an agent runs on {self.layout.state} already (byway down ends it)") from error
        try:
            try:
                launch.write_record(record, "agent")
            except OSError as error:  # the lock tells who this is as well
                log.warning("agent goes on without its record", file=record, error=str(error))
            yield
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _owner_watched(self) -> Iterator[None]:
        """Asks for a stop when the owner process is gone, which may be already."""
        if not self._settings.owner_pid:
            yield
            return
        loop = asyncio.get_running_loop()
        try:
            pidfd = os.pidfd_open(self._settings.owner_pid)
        except ProcessLookupError:
            self.request_stop()
            yield
            return
        loop.add_reader(pidfd, self._owner_is_gone, pidfd)
        try:
            yield
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def _owner_is_gone(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        log.info("owner is gone", pid=self._settings.owner_pid)
        self.request_stop()


def _misfortune(workload: Workload) -> str:
    """Why a process of the workload is not there, in words."""
    for what, record, supervisor in (
        ("Envoy", "envoy", workload.envoy),
        ("application", "app", workload.application),
    ):
        life = supervisor.life if supervisor is not None else None
        if life is not None and life.n_failures and life.phase in (Phase.BACKOFF, Phase.STARTING):
            return f"{what} {life.last_exit} (see {workload.layout.log(record)})"
    return ""


async def run(settings: Settings, *, clock: Clock, chance: random.Random, stop: asyncio.Event | None = None) -> None:
    """Runs the agent of this host; `stop`, once set, ends and removes everything, a cancellation leaves it to be
    adopted.
    """
    agent = HostAgent(settings, clock=clock, chance=chance)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_pass_on(stop, agent)) if stop else None
        await agent.run()
        if watching:
            watching.cancel()


async def _pass_on(stop: asyncio.Event, agent: HostAgent) -> None:
    await stop.wait()
    agent.request_stop()
