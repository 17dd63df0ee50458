"""Two control planes over one PostgreSQL, and an agent with three workloads: each a process, the Envoys real."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from byway.agent.binary import EnvoyNotFound, envoy_binary
from byway.agent.layout import Layout
from byway.agent.plan import read_plan
from byway.testing.postgres import PostgresMissing, PostgresServer
from tests.real.demo.conftest import Demo, free_port
from tests.real.demo.meshes import BACK, BYWAY

SERVICES = """\
mesh: twin
services:
  front:
    port: 8000
    command: ["${python}", back.py]
  back:
    port: 9000
    command: ["${python}", back.py]
  other:
    port: 9100
    command: ["${python}", back.py]
"""
MARK = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: back}}
spec:
  hosts: [back]
  http: [{{route: [{{destination: {{host: back}}}}], headers: {{response: {{set: {{x-mark: "{mark}"}}}}}}}}]
"""
N_PROXIES = 3


class Replica:
    """`byway serve` in a state directory of its own."""

    def __init__(self, state: Path, store: str, *options: str, mesh: str = "twin") -> None:
        self.state = state
        self.admin, self.xds = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._command = (
            *(*BYWAY, "serve", "--mesh", mesh, "--state", str(state), "--store", store),
            *("--admin", self.admin, "--xds", self.xds, *options),
        )
        self._log = state.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        Demo.wait(lambda: self._is_ready() or not self.is_running, 30)
        assert self._is_ready(), self.log

    def refusal(self) -> tuple[int, str]:
        """The exit code and the complaint of a start that is to fail."""
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command against it."""
        environment = {**os.environ, "BYWAY_SERVER": f"http://{self.admin}", "BYWAY_STATE": str(self.state)}
        return subprocess.run(
            [*BYWAY, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    def apply(self, text: str) -> str:
        """Applies a text that is to be taken; what the command says."""
        file = self.state.parent / "applied.yaml"
        file.write_text(text)
        done = self.cli("apply", "-f", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def synced(self) -> int:
        """How many proxies are connected here, and in sync."""
        proxies: list[dict[str, Any]] = json.loads(self.cli("status", "-o", "json").stdout)
        return sum(proxy["connected"] and proxy["in_sync"] for proxy in proxies)

    def certificates(self) -> set[tuple[str, str]]:
        """The instance and the serial number of each workload's certificate in use, as it shows them."""
        found: list[dict[str, Any]] = json.loads(self.cli("certs", "-o", "json").stdout)
        return {(c["instance"], c["serial"]) for c in found if c.get("instance")}

    def metric(self, name: str) -> float:
        """One of its own metrics."""
        text = httpx.get(f"http://{self.admin}/metrics", timeout=10, trust_env=False).text
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://{self.admin}/readyz", timeout=2, trust_env=False).status_code == 200
        return False


class Twins:
    """The whole mesh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = PostgresServer()
        self.server.start()
        self.server.execute("CREATE DATABASE twin")
        store = self.server.url("twin")
        self.first = Replica(folder / "a", store)
        self.second = Replica(folder / "b", store, "--ca", str(folder / "a" / "ca"))
        self.stranger = Replica(folder / "c", store)
        self.namesake = Replica(folder / "d", store, "--ca", str(folder / "a" / "ca"), mesh="bank")
        self._agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts everything, and waits until all proxies are in sync with one of the two."""
        self.first.start()
        self.second.start()
        (self.folder / "back.py").write_text(BACK)
        file = self.folder / "byway.yaml"
        file.write_text(SERVICES)
        drawn = self.first.cli("plan", "-f", str(file), "--proxy", "explicit")
        assert drawn.returncode == 0, drawn.stderr
        self.second.apply(drawn.stdout)
        self.plan = read_plan(Layout(self.first.state).plan)
        self.start_agent()
        Demo.wait(lambda: N_PROXIES in (self.first.synced(), self.second.synced()), 60)

    def start_agent(self) -> None:
        """Starts the agent, which shares the first control plane's state directory."""
        command = (
            *(*BYWAY, "agent", "--mesh", "twin", "--state", str(self.first.state)),
            *("--xds", f"{self.first.xds},{self.second.xds}"),
        )
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def end_agent(self) -> None:
        """Ends the agent alone, as Ctrl-C does; what it runs goes on."""
        assert self._agent is not None
        self._agent.terminate()
        self._agent.wait(20)

    def end(self) -> None:
        """Ends everything and removes what is left."""
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait(20)
        for replica in (self.first, self.second):
            replica.end()
        subprocess.run([*BYWAY, "down", "--state", str(self.first.state)], capture_output=True, timeout=90, check=False)
        self.server.remove()

    @property
    def home(self) -> Replica:
        """The control plane that the proxies are connected to."""
        return self.first if self.first.is_running and self.first.synced() else self.second

    @property
    def away(self) -> Replica:
        """The other one."""
        return self.second if self.home is self.first else self.first

    def get(self) -> httpx.Response:
        """A call of the front's application to the back, through both their Envoys."""
        front = next(workload for workload in self.plan.workloads if workload.workload == "front")
        assert front.explicit is not None
        proxy = f"http://127.0.0.1:{front.explicit.outbound_port}"
        with httpx.Client(proxy=proxy, trust_env=False, timeout=10) as client:
            return client.get("http://back:9000/")

    def mark(self) -> str:
        """What the route to the back writes on answers."""
        return str(self.get().headers.get("x-mark", ""))

    def envoy_pid(self, workload: str) -> int:
        """The process of a workload's Envoy, 0 while it is not ready."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.first.state / "agent.sock"))) as client:
            found = client.get("http://agent/workloads").json()
        envoy = next(report["envoy"] for report in found if report["workload"] == workload)
        return int(envoy["pid"]) if envoy["phase"] == "ready" else 0

    def is_written(self, replica: Replica, mark: str) -> bool:
        """Whether that control plane has the route with this mark."""
        return mark in replica.cli("get", "vs", "back", "-o", "yaml").stdout


class Load:
    """Calls without a pause, until its end; what failed is kept."""

    def __init__(self, call: Callable[[], httpx.Response]) -> None:
        self._call = call
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.n = 0
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._is_over.is_set():
            self.n += 1
            try:
                answer = self._call()
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                self.failures.append(repr(error))


def seconds_until(condition: Callable[[], object], limit_s: float = 30.0) -> float:
    """How long it took."""
    began = time.monotonic()
    Demo.wait(condition, limit_s)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    """The running mesh."""
    try:
        envoy_binary("", os.environ)
    except EnvoyNotFound as missing:
        pytest.skip(str(missing))
    folder = Path(tempfile.mkdtemp(prefix="bw-"))  # a socket's path must be short
    try:
        mesh = Twins(folder)
    except PostgresMissing as missing:
        shutil.rmtree(folder)
        pytest.skip(str(missing))
    try:
        mesh.start()
        yield mesh
    except BaseException:
        print("".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log"))))
        raise
    finally:
        mesh.end()
        shutil.rmtree(folder)
