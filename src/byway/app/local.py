"""A local mesh: one command that starts control plane, agent and load as processes of their own, as on a host.

Nothing of the mesh lives in this process: it writes the plan, starts the others, watches over them, and ends them. When it
is killed they notice: the control plane goes at once, the agent drains and removes everything first.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import httpx
import msgspec

from byway.agent import teardown
from byway.agent.interception import network
from byway.agent.layout import Layout, write_whole
from byway.agent.plan import plan_json
from byway.app.announcement import failed_start, ready, starting
from byway.app.blueprint import Blueprint, Setting, blueprint
from byway.app.child import Child
from byway.app.client import AdminClient, documents_yaml
from byway.app.meshfile import Description, description
from byway.app.serving import ended_by_signals
from byway.app.settings import AgentSettings, ControlPlaneSettings, LocalSettings
from byway.app.state import default_state
from byway.authority.private_files import private_directory
from byway.base.diagnostics import Derived
from byway.base.errors import FaultError, UsageError
from byway.demo import files
from byway.model.names import PORT_READY

T = TypeVar("T")

_START_LIMIT_S = 90.0
_POLL_S = 0.25
_MOST_RESTARTS_AT_START = 4
_INGRESS = "127.0.0.1:8080"
_GATEWAY_PORT = "      number: 8080\n      name: http"


def run_local(settings: LocalSettings) -> int:
    """Runs a local mesh until told to stop, or for `for_s`; returns the exit code."""
    return asyncio.run(_LocalMesh(settings).run())


def down(state: str) -> None:
    """Ends whatever runs of the mesh in `state` and removes what it left on this machine."""
    folder = Path(state)
    with contextlib.suppress(FileNotFoundError, ValueError):
        supervisor = int((folder / "local.pid").read_text())
        if _is_supervisor(supervisor):
            os.kill(supervisor, 15)
            _wait_for_end(supervisor)
    teardown.remove_everything(folder)


class _LocalMesh:
    """One run of one mesh."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._is_demo = not settings.file
        file = files.MESH if self._is_demo else Path(settings.file)
        self._file = file
        self._description: Description = _usable(description(_with_ingress(_text(file), settings), str(file)))
        self._mesh = settings.mesh or self._description.file.mesh
        self._state = Path(settings.state).expanduser() if settings.state else default_state(self._mesh)
        self._interception = _interception(settings.proxy)
        self._namespace = self._description.file.namespace
        self._processes: tuple[Child, ...] = ()

    async def run(self) -> int:
        began = time.monotonic()
        private_directory(self._state)
        with _only_supervisor(self._state):
            await asyncio.to_thread(teardown.remove_everything, self._state)
            drawn = self._blueprint()
            if self._is_demo:
                _forget_resources(self._state)
            starting(self._mesh, len(drawn.plan.workloads), self._interception)
            stop = asyncio.Event()
            with ended_by_signals(stop):
                async with self._running(drawn) as (client, tasks):
                    if not await self._started(client, drawn, stop, tasks):
                        return 1 if not stop.is_set() else 0
                    ready(self._settings, self._description, drawn.plan, time.monotonic() - began)
                    await self._lasted(stop, tasks)
        return 0

    @contextlib.asynccontextmanager
    async def _running(self, drawn: Blueprint) -> AsyncIterator[tuple[AdminClient, list[asyncio.Task[None]]]]:
        write_whole(Layout(self._state).plan, plan_json(drawn.plan))
        self._processes = control_plane, agent = self._children()
        client = AdminClient(self._settings.admin, self._state / "token")
        tasks = [asyncio.create_task(control_plane.run()), asyncio.create_task(agent.run())]
        try:
            yield client, tasks
        finally:
            await agent.end(self._ask_agent_to_stop)
            await control_plane.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
            # Whatever an agent that had to be killed has left.
            await asyncio.to_thread(teardown.remove_everything, self._state)

    async def _started(
        self, client: AdminClient, drawn: Blueprint, stop: asyncio.Event, tasks: list[asyncio.Task[None]]
    ) -> bool:
        """Brings resources in and waits until all is ready; False where it was told to stop, or nothing came of it."""
        starting_up = asyncio.create_task(self._bring_up(client, drawn))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting_up, stopping), return_when=asyncio.FIRST_COMPLETED, timeout=_START_LIMIT_S)
        stopping.cancel()
        if starting_up.done():
            starting_up.result()
        else:
            starting_up.cancel()
            if not stop.is_set():
                failed_start(self._state, await client.status())
            return False
        load = self._load_child()
        if load is not None:
            tasks.append(asyncio.create_task(load.run()))
        return True

    async def _bring_up(self, client: AdminClient, drawn: Blueprint) -> None:
        while not await client.is_ready():
            self._check_processes()
            await asyncio.sleep(_POLL_S)
        await self._remove_leftovers(client, drawn)
        await client.apply([(str(self._file), documents_yaml(drawn.documents))], self._namespace)
        resources = [self._file.parent / name for name in self._description.file.resources]
        if resources:
            texts = [(str(path), _with_ingress(_text(path), self._settings)) for path in resources]
            await client.apply(texts, self._namespace)
        n_workloads = len(drawn.plan.workloads)
        while not _all_ready(await client.status(), n_workloads):
            self._check_processes()
            await asyncio.sleep(_POLL_S)

    def _check_processes(self) -> None:
        """A process that ends again and again at the start will not come up by waiting."""
        for process in self._processes:
            if process.n_restarts >= _MOST_RESTARTS_AT_START:
                raise FaultError(f"the {process.name} does not start: {process.last_words}")

    async def _remove_leftovers(self, client: AdminClient, drawn: Blueprint) -> None:
        """Instances of an earlier run that the file no longer has."""
        wanted = {workload.instance for workload in drawn.plan.workloads}
        for name in await client.names("WorkloadEntry", self._namespace):
            if name not in wanted:
                await client.delete("WorkloadEntry", name, self._namespace)

    async def _lasted(self, stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            (waiting, *tasks), return_when=asyncio.FIRST_COMPLETED, timeout=self._settings.for_s
        )
        waiting.cancel()
        for task in done:
            task.result()

    def _children(self) -> tuple[Child, Child]:
        settings, state = self._settings, str(self._state)
        control_plane = ControlPlaneSettings(
            mesh=self._mesh,
            state=state,
            envoy=settings.envoy,
            admin=settings.admin,
            xds=settings.xds,
            certificate_life_s=settings.certificate_life_s,
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
        return Child(role, command, self._state / f"{role}.log", os.environ)

    def _load_child(self) -> Child | None:
        load = self._description.file.load
        rate = self._settings.rate if self._is_demo else (load.rate if load else 0.0)
        if load is None or not rate:
            return None
        report = self._state / "load.json"
        command = (
            *("setpriv", "--pdeathsig", "TERM", sys.executable, "-P", "-m", "byway.demo.load"),
            *("--url", load.url, "--rate", f"{rate:g}", "--report", str(report)),
        )
        return Child("load", command, self._state / "load.log", os.environ)

    def _ask_agent_to_stop(self) -> None:
        transport = httpx.HTTPTransport(uds=str(Layout(self._state).api_socket))
        with contextlib.suppress(httpx.HTTPError), httpx.Client(transport=transport, timeout=5) as client:
            client.post("http://agent/stop")

    def _blueprint(self) -> Blueprint:
        subnet = ""
        if self._interception == "iptables":
            subnet = network.unused_subnet() or ""
            if not subnet:
                raise FaultError("no free network for the mesh (every candidate is routed already)")
        setting = Setting(
            node=_node_name(),
            interception=self._interception,
            folder=str(self._file.parent.resolve()),
            python=sys.executable,
            subnet=subnet,
            uid=_invoking("SUDO_UID"),
            gid=_invoking("SUDO_GID"),
            env=_application_environment(),
        )
        return _usable(blueprint(self._description, setting, _free_ports()))


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


def _usable(derived: Derived[T | None]) -> T:
    if derived.value is None:
        raise UsageError("\n".join(str(diagnostic) for diagnostic in derived.diagnostics))
    return derived.value


def _interception(asked: str) -> Literal["iptables", "explicit"]:
    is_root = os.geteuid() == 0
    if asked == "iptables" and not is_root:
        raise UsageError("--proxy iptables needs root (run it with sudo, or choose --proxy explicit)")
    if asked == "explicit" or not is_root:
        return "explicit"
    return "iptables"


def _all_ready(proxies: list[dict[str, object]], n_wanted: int) -> bool:
    are_ready = [
        p.get("connected")
        and p.get("in_sync")
        and p.get("envoy_state") == "ready"
        and p.get("app_state") in ("", "ready")
        for p in proxies
    ]
    return len(are_ready) >= n_wanted and all(are_ready)


def _forget_resources(state: Path) -> None:
    """The demo starts from its own files each time; its CA stays."""
    for path in state.glob("store.sqlite*"):
        path.unlink()


def _node_name() -> str:
    name = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname().lower()).strip("-")
    return name[:63] or "localhost"


def _invoking(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    return int(value) if os.geteuid() == 0 and value.isdigit() else None


def _application_environment() -> dict[str, str]:
    kept = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _free_ports() -> Iterator[int]:
    """Ports that nobody listens on now, readiness' own number first; all stay bound until the last one was taken."""
    with contextlib.ExitStack() as stack:
        for port in itertools.chain((PORT_READY,), itertools.repeat(0)):
            listener = stack.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            yield listener.getsockname()[1]


@contextlib.contextmanager
def _only_supervisor(state: Path) -> Iterator[None]:
    record = state / "local.pid"
    with record.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"this mesh runs already, from {state} (end it with `byway down`)") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def _is_supervisor(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(b"byway" in word for word in words) and any(word in (b"demo", b"up") for word in words)


def _wait_for_end(pid: int, limit_s: float = 45.0) -> None:
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([pidfd], [], [], limit_s)
    finally:
        os.close(pidfd)
