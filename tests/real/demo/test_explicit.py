"""The fleet by explicit proxying: without root, and with root where it is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import byway
from byway.agent.binary import envoy_binary
from tests.real.demo.conftest import Demo, require_root
from tests.real.demo.meshes import traces

NOBODY = 65534
SOURCES = Path(byway.__file__).parents[1]


def unprivileged_python(folder: Path) -> list[str]:
    """How Byway's interpreter, or one of its kind, is run by a user who owns nothing; empty where there is none."""
    paths = os.pathsep.join([str(SOURCES), *(path for path in sys.path if path.endswith("-packages"))])
    variables = [f"HOME={folder}", f"PYTHONPATH={paths}", f"BYWAY_ENVOY={envoy_binary('', os.environ)}"]
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [*user, "env", *variables, "PYTHONDONTWRITEBYTECODE=1", python]
        tried = subprocess.run(
            [*command, "-c", "import byway, grpc"], capture_output=True, timeout=60, check=False, cwd=folder
        )
        if tried.returncode == 0:
            return command
    return []


class Unprivileged(Demo):
    """A demo of a user who is nobody."""

    def start(self) -> None:
        """Starts it as that user and waits until all is ready."""
        folder = self.state.parent
        python = unprivileged_python(folder)
        if not python:
            pytest.skip("needs a Python that other users may run")
        addresses = ("--admin", self.admin, "--xds", self.xds, "--ingress", self.ingress)
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*python, "-m", "byway.cli.main", "demo", "--state", str(self.state), *addresses],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
            )
        self.wait(lambda: "services are ready" in self.output or self.process_ended, 100)
        assert "services are ready" in self.output, self.output + self.logs()


@pytest.fixture(scope="module", params=["unprivileged", "asked-for"])
def explicit(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The fleet without interception."""
    require_root()
    folder = Path(tempfile.mkdtemp(prefix="byway-explicit-"))
    os.chown(folder, NOBODY, NOBODY)
    fleet = Unprivileged(folder) if request.param == "unprivileged" else Demo(folder, "--proxy", "explicit")
    try:
        fleet.start()
        yield fleet
        assert fleet.stop() == 0
        assert traces("demo", fleet.state) == []
    finally:
        fleet.down()
        shutil.rmtree(folder)


def test_all_are_ready_and_what_is_lost_is_said(explicit: Demo) -> None:
    assert "20/20 services are ready (23 proxies)" in explicit.output
    assert "Explicit proxying" in explicit.output
    assert "TCP, DNS and calls to addresses do not" in explicit.output


def test_a_link_is_made_at_the_ingress(explicit: Demo) -> None:
    answer = httpx.post(
        f"http://{explicit.ingress}/api/links", json={"url": "http://example.com/"}, timeout=10, trust_env=False
    )
    assert answer.status_code == 201
    assert answer.json()["code"]


def test_the_load_meets_no_failure(explicit: Demo) -> None:
    report = explicit.state / "load.json"
    Demo.wait(lambda: report.exists() and json.loads(report.read_text())["requests"] >= 20)
    assert json.loads(report.read_text())["failures"] == 0


def test_a_canary_works_for_calls_by_name(explicit: Demo) -> None:
    explicit.apply("canary-50.yaml")
    calls = explicit.call("web", "http://link-service:8080/version", 200)
    assert calls["by_status"] == {"200": 200}
    assert 50 < calls["by_version"]["canary"] < 150


def test_only_sidecars_are_let_in(explicit: Demo) -> None:
    """STRICT mTLS: plain HTTP to the proxy's own port is no HTTP to it."""
    plan = json.loads((explicit.state / "plan.json").read_text())
    ports = [port["port"] for workload in plan["workloads"] if workload["command"] for port in workload["ports"]]
    assert len(ports) == 22
    for port in ports:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/version", timeout=5, trust_env=False)


def test_the_caller_is_run_with_the_proxy_in_its_environment(explicit: Demo) -> None:
    shown = explicit.cli("exec", "web", "--", "env").stdout
    assert "http_proxy=http://127.0.0.1:" in shown
