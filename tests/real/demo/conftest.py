"""One running demo for all tests of this folder: real namespaces, iptables, Envoys, control plane and agent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from byway.demo import files

CALLER = Path(__file__).with_name("caller.py")
START_LIMIT_S = 100


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Demo:
    """A demo, as a user has it: all by the command line and by HTTP."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.state = folder / "state"
        self.admin, self.xds, self.ingress = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self._options = options
        self._output = folder / "demo.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until all is ready."""
        with self._output.open("wb") as output:
            command = [
                *(sys.executable, "-m", "byway.cli.main", "demo", "--state", str(self.state)),
                *("--admin", self.admin, "--xds", self.xds, "--ingress", self.ingress, *self._options),
            ]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self.wait(lambda: "services are ready" in self.output or self.process_ended, START_LIMIT_S)
        assert "services are ready" in self.output, self.output + self.logs()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    @property
    def process_ended(self) -> bool:
        """Whether the command has ended."""
        return self.process is not None and self.process.poll() is not None

    def logs(self) -> str:
        """The ends of its logs, for a failure's message."""
        parts = [f"--- {path}\n{path.read_text()[-3000:]}" for path in sorted(self.state.glob("*.log"))]
        return "\n".join(parts)

    def stop(self) -> int:
        """Ends it as Ctrl-C does; the exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.down()

    def down(self) -> None:
        """Removes whatever is left."""
        subprocess.run(
            [sys.executable, "-m", "byway.cli.main", "down", "--state", str(self.state)], timeout=90, check=False
        )

    def cli(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """One command against this demo."""
        environment = {**os.environ, "BYWAY_SERVER": f"http://{self.admin}", "BYWAY_STATE": str(self.state)}
        return subprocess.run(
            [sys.executable, "-m", "byway.cli.main", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
        )

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        result = self.cli(*arguments, "-o", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def apply(self, *names: str) -> str:
        """Applies files of the demo's folder (or any path); what the command printed."""
        paths = [name if "/" in name else str(files.RESOURCES / name) for name in names]
        result = self.cli("apply", *(word for path in paths for word in ("-f", path)))
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def delete(self, *names: str) -> None:
        """Deletes what files name."""
        paths = [name if "/" in name else str(files.RESOURCES / name) for name in names]
        result = self.cli("delete", *(word for path in paths for word in ("-f", path)))
        assert result.returncode == 0, result.stdout + result.stderr

    def call(self, workload: str, url: str, n: int, *, threads: int = 1, headers: tuple[str, ...] = ()) -> Any:
        """Calls made as `workload`'s application makes them."""
        result = self.cli(
            *("exec", workload, "--", sys.executable, str(CALLER), url, str(n), str(threads), *headers), timeout=300
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    def behave(self, workload: str, **behaviour: object) -> None:
        """Has an application misbehave (an empty behaviour: stop that)."""
        body = json.dumps(behaviour)
        method = "POST" if behaviour else "DELETE"
        code = (
            "import urllib.request,sys;"
            f"urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:8080/admin/behaviour',"
            f"{body.encode()!r},{{'Content-Type':'application/json'}},method='{method}'),timeout=5)"
        )
        result = self.cli("exec", workload, "--", sys.executable, "-c", code)
        assert result.returncode == 0, result.stderr

    def get(self, path: str) -> httpx.Response:
        """A read of the control plane's HTTP API."""
        return httpx.get(f"http://{self.admin}{path}", timeout=10, trust_env=False)

    @staticmethod
    def wait(condition: Callable[[], object], limit_s: float = 30.0) -> None:
        """Waits for a condition, bounded."""
        deadline, never = time.monotonic() + limit_s, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            never.wait(0.1)


def require_root() -> None:
    """Namespaces and iptables need root; without it these tests say so and stand aside."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and iptables")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo."""
    require_root()
    running = Demo(tmp_path_factory.mktemp("demo"), "--rate", "20")
    try:
        running.start()
        yield running
    finally:
        running.stop()
