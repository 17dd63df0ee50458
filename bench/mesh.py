"""A mesh that the bench runs as a user would: `byway up -f` on a file of its own, then the HTTP API and `byway exec`.

Its name carries the pid of the run: a mesh's name decides the names of its namespaces, links and chains, and no other
mesh on the machine may share those.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from bench.process import BenchFailed, descendants, output, running, wait, words
from byway.agent.envoy_admin import EnvoyAdmin
from byway.agent.layout import Layout
from byway.agent.processes import read_record

_BYWAY: Final = (sys.executable, "-m", "byway.cli.main")
_FIRST_PORT: Final = 20_000
_N_PORTS: Final = 10_000
_offsets: Final = iter(range(_N_PORTS))
_START_S: Final = 130.0  # longer than a start takes to give up and say why
LIFE_S: Final = 900
_LIMIT_S: Final = 30.0


class BenchMesh:
    """A running mesh."""

    def __init__(self, state: Path, admin: str, supervisor: int) -> None:
        self._state = state
        self._layout = Layout(state)
        self._supervisor = supervisor
        self._http = httpx.Client(base_url=f"http://{admin}", timeout=_LIMIT_S, trust_env=False)

    def close(self) -> None:
        """Lets go of its connections; the mesh goes on."""
        self._http.close()

    def entered(self, workload: str) -> tuple[str, ...]:
        """What to put before a command to run it as the workload's application."""
        return (*_BYWAY, "exec", workload, "--state", str(self._state), "--")

    def envoy(self, instance: str) -> int:
        """The pid of an instance's Envoy."""
        return self._pid(self._layout.workload(instance).record("envoy"))

    def application(self, instance: str) -> int:
        """The pid of an instance's application."""
        return self._pid(self._layout.workload(instance).record("app"))

    def dump(self, instance: str) -> dict[str, Any]:
        """All that an instance's Envoy holds, told by itself."""
        envoy = EnvoyAdmin(self._layout.workload(instance).admin_socket)
        answer = asyncio.run(envoy.answer("GET", "/config_dump?include_eds"))
        held: dict[str, Any] = msgspec.json.decode(answer.body)
        return held

    def is_live(self, instance: str) -> bool:
        """Whether an instance's Envoy has its first configuration and serves, told by itself."""
        return asyncio.run(EnvoyAdmin(self._layout.workload(instance).admin_socket).is_live())

    def n_clusters(self, instance: str) -> int:
        """How many clusters an instance's Envoy holds, told by itself; some are its own."""
        envoy = EnvoyAdmin(self._layout.workload(instance).admin_socket)
        answer = asyncio.run(envoy.answer("GET", "/stats?filter=^cluster_manager.active_clusters$"))
        return int(answer.body.decode().partition(":")[2])

    def agent(self) -> int:
        """The pid of the agent."""
        return self._pid(self._layout.record("agent"))

    def dns(self) -> int:
        """The pid of the DNS server."""
        return self._pid(self._layout.record("dns"))

    def control_plane(self) -> int:
        """The pid of the control plane."""
        return self._below(self._supervisor, "control-plane")

    def prover(self) -> int:
        """The pid of the prover's Envoy."""
        return self._below(self.control_plane(), "--disable-hot-restart")

    def json(self, path: str) -> Any:
        """A read of the API."""
        return self._http.get(path).raise_for_status().json()

    def load_report(self) -> dict[str, Any]:
        """What the mesh's own load generator has seen so far; empty before its first report."""
        try:
            report: dict[str, Any] = msgspec.json.decode((self._state / "load.json").read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return report

    def n_holders(self, instances: tuple[str, ...], word: str) -> int:
        """How many Envoys' routes, read from the Envoys themselves, speak of something."""
        found = (
            self._http.get(f"/api/proxy-config/{instance}/routes").raise_for_status().text for instance in instances
        )
        return sum(f'"{word}' in text for text in found)

    def metric(self, name: str) -> float:
        """One of the control plane's own metrics."""
        text = self._http.get("/metrics").raise_for_status().text
        value = next((line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")), None)
        if value is None:
            raise BenchFailed(f"the control plane has no metric {name}")
        return float(value)

    def apply(self, text: str) -> dict[str, Any]:
        """Applies resources; the rollout as the API reports it."""
        answer = self._write("/api/apply", {"sources": [{"file": "bench.yaml", "text": text}], "namespace": "default"})
        rollout: dict[str, Any] = answer["rollout"]
        return rollout

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Deletes one resource."""
        self.delete_all([(kind, name, namespace)])

    def delete_all(self, targets: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
        """Deletes resources (kind, name and namespace) at once; the rollout as the API reports it."""
        named = [{"kind": kind, "name": name, "namespace": namespace} for kind, name, namespace in targets]
        rollout: dict[str, Any] = self._write("/api/delete", {"targets": named, "namespace": "default"})["rollout"]
        return rollout

    def _write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        token = (self._state / "token").read_text().strip()
        answer = self._http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        if answer.is_error:
            raise BenchFailed(f"{path} was answered {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content

    @staticmethod
    def _pid(record: Path) -> int:
        found = read_record(record)
        if found is None:
            raise BenchFailed(f"no process is recorded in {record.name}")
        return found.pid

    @staticmethod
    def _below(pid: int, word: str) -> int:
        found = next((child for child in descendants(pid) if word in words(child)), None)
        if found is None:
            raise BenchFailed(f"no process with {word} runs below {pid}")
        return found


@contextlib.contextmanager
def running_mesh(file: Path, folder: Path, life_s: int = LIFE_S) -> Iterator[BenchMesh]:
    """Runs the mesh of a file until all is ready, and takes it down afterwards, whatever happened."""
    state, log = folder / "state", folder / "up.log"
    admin, xds = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = (
        *(*_BYWAY, "up", "-f", str(file), "--state", str(state), "--admin", admin, "--xds", xds),
        *("--for", str(life_s)),
    )
    try:
        with running(command, log, end=signal.SIGINT) as process:
            wait(lambda: _has_started(log) or process.poll() is not None, _START_S, f"a ready mesh of {file.name}")
            if not _has_started(log):
                raise BenchFailed(f"the mesh of {file.name} did not start: {_printed(log)[-3000:]}")
            found = BenchMesh(state, admin, process.pid)
            try:
                yield found
            finally:
                found.close()
    finally:
        output((*_BYWAY, "down", "--state", str(state)), 90)


def mesh_name(word: str) -> str:
    """A mesh name that no other run has."""
    return f"bench-{word}-{os.getpid()}"


def free_port() -> int:
    """A port on loopback that nobody listens on now, another one each time.

    It lies below the range from which the kernel takes the ports of outgoing connections: one of those may be taken
    between now and the moment when the mesh listens on it.
    """
    for offset in _offsets:
        port = _FIRST_PORT + (os.getpid() * 7 + offset) % _N_PORTS
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise BenchFailed("no port on loopback is free")


def _has_started(log: Path) -> bool:
    return "services are ready" in _printed(log)


def _printed(log: Path) -> str:
    return log.read_text(errors="replace")
