"""The two kinds of process beside each other in a workload: its Envoy and its application."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

import byway
from byway.agent import logs, processes, surroundings
from byway.agent.bootstrap import Json, ProxyLimits, bootstrap
from byway.agent.dns_server import READY_FILE, Duty, Served
from byway.agent.dns_sockets import DnsSockets
from byway.agent.envoy_admin import EnvoyAdmin
from byway.agent.layout import Layout, WorkloadLayout, private_directory, write_whole
from byway.agent.plan import Plan, WorkloadPlan
from byway.agent.processes import Launch
from byway.base.digest import digest
from byway.model.names import PROXY_UID

_DRAIN_TIME_S: Final = 5
_CAP_NET_BIND_SERVICE: Final = 10
_PROXY_VIEW: Final = Path("/run/byway")
"""Where an Envoy of another user than the agent's sees its own directory: it could not walk the private ones above it."""


def proxy_user() -> int | None:
    """The user that Envoy runs as: its own where the agent may choose."""
    return PROXY_UID if os.geteuid() == 0 else None


class EnvoyBody:
    """Envoy: bootstrapped anew at every start, ready when LIVE, drained before its end."""

    def __init__(
        self,
        plan: Plan,
        workload: WorkloadPlan,
        layout: WorkloadLayout,
        *,
        binary: Path,
        limits: ProxyLimits,
        before_end: Callable[[], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._workload = workload
        self._layout = layout
        self._binary = binary
        self._limits = limits
        self._before_end = before_end
        self.admin = EnvoyAdmin(layout.admin_socket)
        self.is_drain_wanted = True

    @property
    def fingerprint(self) -> str:
        """The bootstrap but for its epoch, and the command."""
        return digest(msgspec.json.encode((self._bootstrap(""), self._command())))

    def launch(self) -> Launch:
        """Writes the bootstrap with a new epoch, and starts Envoy in its own directory."""
        user = proxy_user()
        private_directory(self._layout.proxy, user)
        write_whole(self._layout.bootstrap, msgspec.json.encode(self._bootstrap(uuid.uuid4().hex[:12])), user)
        self._layout.admin_socket.unlink(missing_ok=True)
        if user is not None:
            _PROXY_VIEW.mkdir(mode=0o755, exist_ok=True)
        logs.open_for(self._layout.log("envoy"), user)
        return Launch(
            argv=self._command(),
            env={},
            cwd=str(self._layout.proxy if user is None else _PROXY_VIEW),
            netns=surroundings.netns(self._plan, self._workload),
            binds=() if user is None else ((str(self._layout.proxy), str(_PROXY_VIEW)),),
            uid=user,
            gid=user,
            no_new_privileges=True,
            # A gateway may listen on 80 and 443; a sidecar's own ports are all above 1023.
            capabilities=(_CAP_NET_BIND_SERVICE,) if self._workload.kind == "router" else (),
        )

    def _bootstrap(self, epoch: str) -> Json:
        return bootstrap(self._workload, node=self._plan.node, epoch=epoch, limits=self._limits)

    def _command(self) -> tuple[str, ...]:
        return (
            str(self._binary),
            "--config-path",
            self._layout.bootstrap.name,
            "--disable-hot-restart",
            "--concurrency",
            str(self._limits.concurrency),
            "--drain-time-s",
            str(_DRAIN_TIME_S),
            "--drain-strategy",
            "immediate",
            "--log-level",
            "warning",
        )

    async def is_ready(self, pid: int) -> bool:
        """Whether Envoy is LIVE, which includes its first listeners."""
        return await self.admin.is_live()

    async def drain(self) -> None:
        """Drains, then lets the application end, so that no request in flight loses either."""
        if self.is_drain_wanted:
            await self.admin.drain()
        await self._before_end()


class ApplicationBody:
    """The application: ready when it listens on every port that the plan names."""

    def __init__(self, plan: Plan, workload: WorkloadPlan, layout: WorkloadLayout) -> None:
        self._plan = plan
        self._workload = workload
        self._layout = layout
        self._ports = frozenset(p.app_port for p in workload.ports)

    @property
    def fingerprint(self) -> str:
        """The command and its surroundings."""
        return digest(msgspec.json.encode(self.launch()))

    def launch(self) -> Launch:
        """The plan's command in the workload's surroundings."""
        return surroundings.application(self._plan, self._workload, self._layout, self._workload.command)

    async def is_ready(self, pid: int) -> bool:
        """Whether it listens."""
        return self._ports <= processes.listening_ports(pid)

    async def drain(self) -> None:
        """An application drains by itself when it is terminated."""


class DnsBody:
    """The DNS server of all intercepted workloads."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        served = tuple(Served(surroundings.netns(plan, w), w.namespace) for w in plan.intercepted)
        self._duty = Duty(served, proxy_user())
        self._layout = layout
        self.sockets = DnsSockets(tuple(s.netns for s in served), self._duty.port)

    def take_back(self) -> None:
        """Shares the sockets of the server that an earlier agent has left, so that they outlive it."""
        found = processes.adopted(self._layout.record("dns"))
        if found is not None:
            if found.fingerprint == self.fingerprint:
                self.sockets.take_back(found.pidfd)
            found.close()

    @property
    def fingerprint(self) -> str:
        """Its duty."""
        return digest(msgspec.json.encode(self._duty))

    def launch(self) -> Launch:
        """Python, with this very package on its path."""
        (self._layout.dns / READY_FILE).unlink(missing_ok=True)
        return Launch(
            argv=(sys.executable, "-m", "byway.agent.dns_server", msgspec.json.encode(self._duty).decode()),
            env={"PATH": surroundings.PATH, "PYTHONPATH": str(Path(byway.__file__).parents[1]), "PYTHONSAFEPATH": "1"},
            cwd=str(self._layout.dns),
            descriptors=self.sockets.descriptors(),
        )

    async def is_ready(self, pid: int) -> bool:
        """Whether it has all its sockets."""
        try:
            return (self._layout.dns / READY_FILE).read_text() == str(pid)
        except FileNotFoundError:
            return False

    async def drain(self) -> None:
        """There is nothing to drain."""
