"""One workload on this host: its Envoy, its application and its door, kept in the right order.

A workload whose gRPC library is a client of the mesh itself has the door, and files in place of the Envoy.

Start: the application waits until its Envoy is ready and names resolve for the first time, so that its first call
finds the mesh. Stop: Envoy drains, then the application ends, then Envoy, so that no request in flight loses either.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from byway.agent import lifecycle, logs, processes, surroundings
from byway.agent.bodies import ApplicationBody, EnvoyBody, proxy_user
from byway.agent.bootstrap import ProxyLimits
from byway.agent.credentials import Credential
from byway.agent.envoy_admin import EnvoyAdmin
from byway.agent.frames import WorkloadReport
from byway.agent.grpc_client import VIEW, ClientFiles, bootstrap_json
from byway.agent.layout import Layout, private_directory
from byway.agent.lifecycle import Phase, Policy
from byway.agent.plan import Plan, WorkloadPlan
from byway.agent.supervision import Body, Supervisor, process_report
from byway.agent.uplink import Uplink
from byway.agent.workload_socket import WorkloadSocket
from byway.base.clock import Clock
from byway.identity.certificate import CertificateFacts
from byway.identity.spiffe import SpiffeId, workload_id

_LOG_PERIOD_S: Final = 5.0


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What all workloads of an agent share."""

    plan: Plan
    layout: Layout
    binary: Path
    limits: ProxyLimits
    clock: Clock
    chance: random.Random
    drain_s: float
    on_change: Callable[[], None]
    names_known: Callable[[], Awaitable[None]]  # returns once mesh names can be resolved


class Workload:
    """One workload instance in the agent's care."""

    def __init__(self, workload: WorkloadPlan, means: Means, uplink: Uplink) -> None:
        self.plan = workload
        self.identity: SpiffeId = workload_id(means.plan.trust_domain, workload.namespace, workload.service_account)
        self.layout = means.layout.workload(workload.instance)
        self._means = means
        self._uplink = uplink
        self._certificate: CertificateFacts | None = None
        self._is_ending = False
        self._is_open = asyncio.Event()
        self._client: ClientFiles | None = None
        self._envoy_body: EnvoyBody | None = None
        self.admin: EnvoyAdmin | None = None
        self.envoy: Supervisor | None = None
        if workload.kind == "grpc":
            self._client = ClientFiles(self.layout.client, workload.uid)
            self.socket = WorkloadSocket(self._client.socket, workload.uid, uplink, workload.instance)
        else:
            self.socket = WorkloadSocket(self.layout.agent_socket, proxy_user(), uplink, workload.instance)
            self._envoy_body = self._body_of_envoy()
            self.admin = self._envoy_body.admin
            policy = Policy(backoff_base_s=0.1, backoff_limit_s=15.0, drain_s=means.drain_s + 6.0, terminate_s=3.0)
            self.envoy = self._supervisor("envoy", self._envoy_body, policy)
        self.application: Supervisor | None = None
        if workload.command:
            body = ApplicationBody(means.plan, workload, self.layout)
            self.application = self._supervisor("app", body, Policy(backoff_limit_s=10.0))

    def _body_of_envoy(self) -> EnvoyBody:
        means = self._means
        return EnvoyBody(
            means.plan,
            self.plan,
            self.layout,
            binary=means.binary,
            limits=means.limits,
            before_end=self._end_application,
        )

    def _supervisor(self, process: str, body: Body, policy: Policy) -> Supervisor:
        means = self._means
        return Supervisor(
            f"{self.plan.instance}/{process}",
            body,
            record=self.layout.record(process),
            log_file=self.layout.log(process),
            policy=policy,
            clock=means.clock,
            chance=means.chance,
            on_change=means.on_change,
        )

    def rotate(self, credential: Credential) -> None:
        """Takes a new certificate into use."""
        self._certificate = credential.facts
        self.socket.rotate(credential)
        if self._client is not None:
            self._client.rotate(credential)
        self._uplink.credential_arrived()

    async def run(self) -> None:
        """Keeps the workload going until cancelled, which leaves its processes running."""
        private_directory(self.layout.root)
        self._prepare()
        surroundings.write_resolver(self.plan, self.layout)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._open_door())
                tasks.create_task(self._bound_logs())
                tasks.create_task(self._uplink.stay_home())
                if self.envoy is not None:
                    tasks.create_task(self.envoy.run())
                    self.envoy.tell(lifecycle.WasAskedToStart())
                if self.application is not None:
                    tasks.create_task(self.application.run())
                    if not self._was_running():
                        await self._mesh_found()
                    if not self._is_ending:
                        self.application.tell(lifecycle.WasAskedToStart())
        finally:
            await self.socket.stop()
            await self._uplink.close()

    def _prepare(self) -> None:
        if self._client is None:
            private_directory(self.layout.proxy, proxy_user())
            return
        if surroundings.client_folder(self.layout) == VIEW:
            VIEW.mkdir(mode=0o755, exist_ok=True)
        self._client.prepare(bootstrap_json(self.plan, surroundings.client_folder(self.layout)))

    async def _open_door(self) -> None:
        """Opens the socket once there is a certificate to serve and to ask with; Envoy knocks until then."""
        await self._uplink.issued()
        await self.socket.start()
        self._is_open.set()

    async def _mesh_found(self) -> None:
        if self.envoy is not None:
            await self.envoy.reached(Phase.READY, Phase.STOPPED)
        else:
            await self._is_open.wait()
        if self.plan.interception == "iptables":
            await self._means.names_known()

    def _was_running(self) -> bool:
        """Whether an application is there to be adopted: then it need not wait for anything."""
        found = processes.adopted(self.layout.record("app"))
        if found is not None:
            found.close()
        return found is not None

    async def stop(self, *, is_drained: bool) -> None:
        """Ends both processes in order; `run` has to be running."""
        self._is_ending = True
        if self._envoy_body is not None and self.envoy is not None:
            self._envoy_body.is_drain_wanted = is_drained
            self.envoy.tell(lifecycle.WasAskedToStop())
            await self.envoy.reached(Phase.STOPPED)
        await self._end_application()

    def restart(self) -> None:
        """Restarts the application where there is one, else Envoy."""
        supervisor = self.application or self.envoy
        if supervisor is not None:
            supervisor.tell(lifecycle.WasAskedToRestart())

    def report(self, fault: str) -> WorkloadReport:
        """The workload's state as it is told to the control plane."""
        application = process_report(self.application) if self.application else None
        refusal, certificate = self.socket.refusal, self._certificate
        return WorkloadReport(
            instance=self.plan.instance,
            workload=self.plan.workload,
            namespace=self.plan.namespace,
            identity=str(self.identity),
            proxy_id=self.plan.proxy_id,
            envoy=process_report(self.envoy) if self.envoy else None,
            application=application,
            begins=certificate.not_before.isoformat() if certificate else "",
            expires=certificate.not_after.isoformat() if certificate else "",
            serial=certificate.serial if certificate else "",
            fault=f"Envoy refused a secret: {refusal.message}" if refusal else fault,
        )

    async def _end_application(self) -> None:
        if self._is_ending and self.application is not None:
            self.application.tell(lifecycle.WasAskedToStop())
            await self.application.reached(Phase.STOPPED)

    async def _bound_logs(self) -> None:
        while True:
            for process in ("envoy", "app"):
                logs.bound(self.layout.log(process))
            await asyncio.sleep(_LOG_PERIOD_S)
