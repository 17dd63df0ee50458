"""A local mesh: one command that starts control plane, agent and load as processes of their own, as on a host.

Nothing of the mesh lives in this process: it writes the plan, starts the others, watches over them, and ends them. When it
is killed they notice: the control plane goes at once, the agent ends and removes everything first. Were they killed as
well, the next start from the same state directory, or `byway down`, removes what is left.

What it makes on the machine is named after the mesh and, away from the default place, its state directory: two meshes of
one name run beside each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from byway.agent import teardown
from byway.agent.interception import network
from byway.agent.interception.claims import claimed
from byway.agent.layout import Layout, write_whole
from byway.agent.plan import Plan, plan_json
from byway.app import announcement, machine, preflight
from byway.app.blueprint import Blueprint
from byway.app.child import Child
from byway.app.client import AdminClient, AgentClient, documents_yaml
from byway.app.drawing import Ground, drawing, usable
from byway.app.meshfile import Description, description
from byway.app.readiness import Lack, lacks
from byway.app.serving import ended_by_signals
from byway.app.settings import AgentSettings, ControlPlaneSettings, LocalSettings
from byway.app.state import default_state
from byway.app.tenure import (
    control_plane,
    end_supervisor,
    forget,
    keep_logs,
    kept_logs,
    only_supervisor,
    remove_former,
    scratch,
)
from byway.authority.private_files import private_directory
from byway.base.errors import BywayError, FaultError, UsageError
from byway.demo import files

T = TypeVar("T")

_START_LIMIT_S = 90.0
_APPLICATIONS_LIMIT_S = 20.0
_POLL_S = 0.25
_WATCH_S = 3.0
_SAY_EVERY_S = 8.0
_MOST_RESTARTS_AT_START = 4
_SHORT_PATH = 56  # a Unix socket in the scratch folder has 107 characters in all
_INGRESS = "127.0.0.1:8080"
_GATEWAY_PORT = "      number: 8080\n      name: http"


def run_local(settings: LocalSettings) -> int:
    """Runs a local mesh until told to stop, or for `for_s`; returns the exit code."""
    mesh = _LocalMesh(settings)
    try:
        return asyncio.run(mesh.run())
    except OSError as error:  # a full or failing disk; everything else has an error of its own
        place = error.filename or mesh.state
        raise FaultError(f"{place}: {error.strerror or error} (mend it, or choose another --state)") from error


def down(state: str) -> int:
    """Ends what runs of the mesh in `state` and removes what it left on this machine.

    The control plane that was started by hand (`byway serve`) and still serves, 0 where none does.
    """
    folder = Path(state)
    end_supervisor(folder)
    remove_former(folder)
    return control_plane(folder)


class _LocalMesh:
    """One run of one mesh."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._is_demo = not settings.file
        file = files.MESH if self._is_demo else Path(settings.file)
        self._file = file
        self._description: Description = usable(description(_with_ingress(_text(file), settings), str(file)))
        self._mesh = settings.mesh or self._description.file.mesh
        self.state = Path(settings.state).expanduser().absolute() if settings.state else default_state(self._mesh)
        self._layout = Layout(self.state)
        self._interception = machine.interception(settings.proxy)
        self._namespace = self._description.file.namespace
        self._processes: list[Child] = []
        self._failed: set[str] = set()
        self._client = AdminClient(settings.admin, self.state / "token")
        self._agent = AgentClient(self._layout.api_socket)

    async def run(self) -> int:
        began = time.monotonic()
        preflight.check_state(self.state)
        preflight.check_envoy(self._settings.envoy)
        if self._interception == "iptables":
            preflight.check_network_tools()
        is_new = not self.state.exists()
        private_directory(self.state)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.enter_context(only_supervisor(self.state))
            try:
                await asyncio.to_thread(remove_former, self.state)
                preflight.check_ports(self._settings, self._description)
                drawn = await asyncio.to_thread(self._drawn, stack)
                preflight.check_programs(drawn.plan, self._description)
            except BywayError:
                if is_new:
                    forget(self.state)
                raise
            if self._is_demo:
                _forget_resources(self.state)
            announcement.starting(self._mesh, drawn.plan, self._interception)
            return await self._ran(drawn, began)

    async def _ran(self, drawn: Blueprint, began: float) -> int:
        stop = asyncio.Event()
        with ended_by_signals(stop):
            async with self._running(drawn.plan) as tasks:
                starting = asyncio.create_task(self._bring_up(drawn, began))
                if not await _done_before(starting, stop, _START_LIMIT_S):
                    if stop.is_set():
                        return 0
                    missing = await self._lacks(drawn.plan)
                    self._failed |= _instances(missing)
                    announcement.failed_start(self.state, missing)
                    return 1
                missing = starting.result()
                self._failed |= _instances(missing)
                announcement.ready(self._settings, self._description, missing, self.state, time.monotonic() - began)
                if load := self._load_child():
                    self._processes.append(load)
                    tasks.append(asyncio.create_task(load.run()))
                watching = asyncio.create_task(self._watch(drawn.plan, missing))
                try:
                    await self._lasted(stop, [*tasks, watching])
                finally:
                    watching.cancel()
        return 0

    @contextlib.asynccontextmanager
    async def _running(self, plan: Plan) -> AsyncIterator[list[asyncio.Task[None]]]:
        shutil.rmtree(kept_logs(self.state), ignore_errors=True)  # a former run's
        write_whole(self._layout.plan, plan_json(plan))
        control_plane, agent = self._children()
        self._processes = [control_plane, agent]
        tasks = [asyncio.create_task(control_plane.run()), asyncio.create_task(agent.run())]
        try:
            yield tasks
        finally:
            for load in self._processes[2:]:
                await load.end()
            if await asyncio.to_thread(keep_logs, self.state, sorted(self._failed)):
                announcement.kept(kept_logs(self.state))
            await agent.end(self._agent.stop)
            await control_plane.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Whatever an agent that had to be killed has left.
            await asyncio.to_thread(remove_former, self.state)

    async def _bring_up(self, drawn: Blueprint, began: float) -> tuple[Lack, ...]:
        """Brings the resources in and waits until all is ready; what applications still lack when it gives up on them."""
        while not await self._is_stored(drawn):
            self._check_processes()
            await asyncio.sleep(_POLL_S)
        said, proxies_ready = time.monotonic(), 0.0
        while True:
            self._check_processes()
            missing = await self._lacks(drawn.plan)
            now = time.monotonic()
            is_mesh_ready = all(lack.is_application for lack in missing)
            proxies_ready = (proxies_ready or now) if is_mesh_ready else 0.0
            if is_mesh_ready and (
                all(lack.is_failing for lack in missing) or now - proxies_ready > _APPLICATIONS_LIMIT_S
            ):
                return missing
            if now - said > _SAY_EVERY_S:
                announcement.waiting(missing, now - began)
                said = now
            await asyncio.sleep(_POLL_S)

    async def _is_stored(self, drawn: Blueprint) -> bool:
        """Whether the control plane is there and has taken the resources."""
        client = self._client
        if not await client.is_ready():
            return False
        try:
            await self._remove_leftovers(drawn)
            await client.apply([(str(self._file), documents_yaml(drawn.documents))], self._namespace)
            resources = [self._file.parent / name for name in self._description.file.resources]
            if resources:
                texts = [(str(path), _with_ingress(_text(path), self._settings)) for path in resources]
                await client.apply(texts, self._namespace)
        except httpx.TransportError:  # it died meanwhile: what is stored twice is stored once
            return False
        return True

    async def _lacks(self, plan: Plan) -> tuple[Lack, ...]:
        return lacks(plan, await self._client.status(), await self._agent.reports())

    async def _watch(self, plan: Plan, missing: tuple[Lack, ...]) -> None:
        """Says what goes and what comes back; while a part of the mesh is being restarted nothing is known."""
        told: dict[str, int] = {}
        while True:
            await asyncio.sleep(_WATCH_S)
            proxies, reports = await self._client.status(), await self._agent.reports()
            answering = {"control-plane": bool(proxies), "agent": bool(reports)}
            for process in self._processes:
                if process.n_restarts > told.get(process.name, 0) and answering.get(process.name, process.pid > 0):
                    told[process.name] = process.n_restarts
                    announcement.back(process.name)
            if proxies and reports:
                now = lacks(plan, proxies, reports)
                announcement.changed(missing, now, self.state)
                self._failed |= _instances(now)
                missing = now

    def _check_processes(self) -> None:
        """A process that ends again and again at the start will not come up by waiting."""
        for process in self._processes:
            if process.n_restarts >= _MOST_RESTARTS_AT_START:
                why = process.last_words.removeprefix(f"byway {process.name}: ")
                other = "; --proxy explicit needs no network of its own" if self._interception == "iptables" else ""
                raise FaultError(f"the {process.name} does not start: {why} (its log: {process.log}{other})")

    async def _remove_leftovers(self, drawn: Blueprint) -> None:
        """Instances of an earlier run that the file no longer has."""
        wanted = {workload.instance for workload in drawn.plan.workloads}
        for name in await self._client.names("WorkloadEntry", self._namespace):
            if name not in wanted:
                await self._client.delete("WorkloadEntry", name, self._namespace)

    async def _lasted(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            (waiting, *tasks), return_when=asyncio.FIRST_COMPLETED, timeout=self._settings.for_s
        )
        waiting.cancel()
        for task in done:
            task.result()

    def _children(self) -> tuple[Child, Child]:
        settings, state = self._settings, str(self.state)
        control_plane = ControlPlaneSettings(
            mesh=self._mesh,
            state=state,
            envoy=settings.envoy,
            admin=settings.admin,
            xds=settings.xds,
            certificate_life_s=settings.certificate_life_s,
            # A fleet to look at is traced whole; a user's own mesh once its MeshConfig says so.
            sampling=100.0 if self._is_demo else 0.0,
            owner_pid=os.getpid(),
        )
        agent = AgentSettings(
            mesh=self._mesh,
            state=state,
            envoy=settings.envoy,
            control_plane=settings.xds,
            certificate_life_s=settings.certificate_life_s,
            owner_pid=os.getpid(),
        )
        return self._child("control-plane", control_plane), self._child("agent", agent)

    def _child(self, role: str, settings: msgspec.Struct) -> Child:
        command = (sys.executable, "-P", "-m", "byway.app.entry", role, msgspec.json.encode(settings).decode())
        environment = dict(os.environ)
        if len(str(self.state)) <= _SHORT_PATH:  # what a killed process has left there is found by the next start
            private_directory(scratch(self.state))
            environment["TMPDIR"] = str(scratch(self.state))
        return Child(role, command, self.state / f"{role}.log", environment)

    def _load_child(self) -> Child | None:
        load = self._description.file.load
        rate = self._settings.rate if self._is_demo else (load.rate if load else 0.0)
        if load is None or not rate:
            return None
        report = self.state / "load.json"
        command = (
            *("setpriv", "--pdeathsig", "TERM", sys.executable, "-P", "-m", "byway.demo.load"),
            *("--url", load.url, "--rate", f"{rate:g}", "--report", str(report)),
        )
        return Child("load", command, self.state / "load.log", os.environ)

    def _drawn(self, stack: contextlib.AsyncExitStack) -> Blueprint:
        """The blueprint on this machine, its names and its subnet held against other meshes until `stack` ends."""
        subnet, name = "", machine.network_name(self._mesh, self.state)
        if self._interception == "iptables":
            if not stack.enter_context(claimed(name)):
                raise UsageError(f"a mesh whose network is named {name} runs already (end it with `byway down`)")
            subnet = stack.enter_context(network.claimed_subnet()) or ""
        drawn = drawing(self._description, self._file.parent, self._interception, Ground(name, subnet))
        teardown.remove_forgotten(drawn.plan, self.state)
        return drawn


def _instances(lacks: Iterable[Lack]) -> set[str]:
    return {lack.workload.instance for lack in lacks}


async def _done_before(task: asyncio.Task[T], stop: asyncio.Event, limit_s: float) -> bool:
    """Whether the task was done before `stop` was set and the time was over; it is cancelled where it was not."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED, timeout=limit_s)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    return True


def _with_ingress(text: str, settings: LocalSettings) -> str:
    """The packaged fleet's files with its gateway moved to another address."""
    if not settings.ingress:
        return text
    port = settings.ingress.rpartition(":")[2]
    return text.replace(_INGRESS, settings.ingress).replace(_GATEWAY_PORT, f"      number: {port}\n      name: http")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _forget_resources(state: Path) -> None:
    """The demo starts from its own files each time; its CA stays."""
    for path in state.glob("store.sqlite*"):
        path.unlink()
