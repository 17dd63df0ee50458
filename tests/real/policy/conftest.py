"""A small mesh for tests of what its doors let in: `front` calls `back`, which listens on more ports than it declares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.demo.conftest import Demo, require_root
from tests.real.demo.meshes import BYWAY, Tiny, traces

HERE = Path(__file__).parent
UNDECLARED, ECHO = 9500, 9600
MESH = """\
mesh: doors
services:
  front:
    port: 8000
    command: ["${python}", server.py]
  back:
    port: 9000
    command: ["${python}", server.py]
"""


class Doors(Tiny):
    """The mesh, with what its tests do to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MESH)
        self._folder = folder
        (folder / "server.py").write_text((HERE / "server.py").read_text())

    def write(self, verb: str, text: str, name: str = "resources.yaml", *, is_refused: bool = False) -> str:
        """`byway apply` or `byway delete` of a text; what the command said on either stream."""
        file = self._folder / name
        file.write_text(text)
        environment = {**os.environ, "BYWAY_SERVER": f"http://{self.admin}", "BYWAY_STATE": str(self.state)}
        command = [*BYWAY, verb, "-f", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert (done.returncode != 0) is is_refused, done.stdout + done.stderr
        return done.stdout + done.stderr

    def statuses(self, url: str, n: int = 10) -> set[str]:
        """The statuses that some `n` calls of `front` get."""
        with self.load(url, n) as load:
            return set(load.result())

    def load(self, url: str, n: int = 0) -> Load:
        """Calls that `front` makes until they are enough, or told to end."""
        return Load(self, url, n)

    def address(self, instance: str) -> str:
        """The address of an instance, where whoever is outside the mesh finds it."""
        plan = json.loads((self.state / "plan.json").read_text())
        return str(next(w["address"] for w in plan["workloads"] if w["instance"] == instance))


class Load:
    """`caller.py` beside `front`; it calls without pause until its input is closed."""

    def __init__(self, mesh: Doors, url: str, n: int) -> None:
        words = (
            "exec",
            "front",
            "--state",
            str(mesh.state),
            "--",
            sys.executable,
            str(HERE / "caller.py"),
            url,
            str(n),
        )
        self._process = subprocess.Popen([*BYWAY, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Load:
        return self

    def started(self) -> Load:
        """Once the first call was answered."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "calling\n"
        return self

    def result(self) -> dict[str, int]:
        """What came of the calls, by status."""
        output, _ = self._process.communicate(timeout=60)
        found: dict[str, int] = json.loads(output.splitlines()[-1])
        return found

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """The mesh, up."""
    require_root()
    mesh = Doors(tmp_path_factory.mktemp("doors"))
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.end()
    assert traces("doors", mesh.state) == []


@pytest.fixture
def doors(running: Doors) -> Iterator[Doors]:
    """The mesh without any policy, which each test finds and leaves."""
    yield running
    running.write("delete", LEFT)
    Demo.wait(lambda: running.statuses("http://back:9000/", 3) == {"200"}, 20)


LEFT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back}
spec: {hosts: [back], http: [{route: [{destination: {host: back}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: inside}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: back}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: back}
"""
