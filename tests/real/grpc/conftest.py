"""A mesh of a gRPC service in two versions, behind sidecars, and a client that has none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.real.demo.conftest import require_root
from tests.real.demo.meshes import BYWAY, Tiny, traces

HERE = Path(__file__).parent
TARGET = "xds:///link-service:8080"
MESH = """\
mesh: plain
services:
  link-service:
    ports: [{name: grpc, port: 8080}]
    command: ["${python}", server.py]
    versions:
      stable: {}
      canary: {}
  client:
    proxy: grpc
    command: [sleep, infinity]
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: link-service}
spec:
  host: link-service
  subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]
"""


class Plain(Tiny):
    """The mesh, with what its tests do to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MESH)
        self.folder = folder
        for name in ("server.py", "client.py"):
            (folder / name).write_text((HERE / name).read_text())

    def write(self, verb: str, text: str) -> str:
        """`byway apply` or `byway delete` of a text."""
        file = self.folder / "resources.yaml"
        file.write_text(text)
        return self.cli(verb, "-f", str(file))

    def route(self, stable: int, canary: int, rest: str = "") -> None:
        """Splits the calls, and waits until all clients hold that; `rest` is added to the rule."""
        shares = (("stable", stable), ("canary", canary))
        split = ", ".join(f"{{destination: {{host: link-service, subset: {s}}}, weight: {w}}}" for s, w in shares)
        self.write(
            "apply",
            f"""{SUBSETS}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: link-service}}
spec: {{hosts: [link-service], http: [{{route: [{split}]{rest}}}]}}
""",
        )

    def client(self, target: str = TARGET, credentials: str = "xds") -> Client:
        """The program, run as the workload `client`."""
        words = (sys.executable, str(self.folder / "client.py"), target, credentials)
        return Client((*BYWAY, "exec", "client", "--state", str(self.state), "--", *words))

    def config(self, instance: str) -> str:
        """The state of a workload's configuration in words; empty while nobody can tell."""
        try:
            status = httpx.get(f"http://{self.admin}/api/status", timeout=5, trust_env=False).raise_for_status().json()
        except httpx.HTTPError:
            return ""
        found = next(p for p in status["proxies"] if p["instance"] == instance)
        return ("in sync" if found["in_sync"] else "behind") if found["connected"] else "no channel"


class Client:
    """`client.py` with a channel of its own, which lasts as long as this does."""

    def __init__(self, command: tuple[str, ...], env: dict[str, str] | None = None) -> None:
        self._command = command
        self._env = env

    def __enter__(self) -> Client:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, env=self._env)
        return self

    def calls(self, n: int, *, timeout: float = 20.0, **metadata: str) -> Any:
        """What came of `n` calls."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"n": n, "timeout": timeout, "metadata": {k.replace("_", "-"): v for k, v in metadata.items()}}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def counts(self, n: int, *, timeout: float = 20.0, **metadata: str) -> dict[str, int]:
        """How `n` calls ended: by version, or by status."""
        found: dict[str, int] = self.calls(n, timeout=timeout, **metadata)["counts"]
        return found

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """The running mesh, with all calls on the way to `stable`."""
    require_root()
    mesh = Plain(tmp_path_factory.mktemp("plain"))
    try:
        mesh.start()
        mesh.route(100, 0)
        yield mesh
    finally:
        mesh.end()
    assert traces("plain", mesh.state) == []
