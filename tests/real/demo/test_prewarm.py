"""A sidecar that starts again has what its workload is known to call: no name is asked for, over HTTP or TCP."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.real.demo.conftest import Demo
from tests.real.demo.meshes import Tiny, both_kinds, members
from tests.real.demo.test_resilience import pids, quietly
from tests.real.demo.test_up import status

MESH = """\
mesh: warm
services:
  front:
    port: 8000
    command: ["${python}", front.py]
    instances: 2
  back:
    ports: [{name: http, port: 9000}, {name: tcp, port: 9001}]
    command: ["${python}", both.py]
  other:
    port: 9000
    command: ["${python}", back.py]
"""
HTTP = "import urllib.request; print(urllib.request.urlopen('http://{}/', timeout=5).read().decode())"
TCP = (
    "import socket; c = socket.create_connection(('{}', {}), 5); c.settimeout(5);"
    "c.sendall(b'hello'); print(c.recv(100).decode())"
)
SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: front}
spec:
  workloadSelector: {labels: {app: other}}
  egress: [{hosts: ["./front.default.svc.cluster.local"]}]
"""


BACK = {("front", "back.default.svc.cluster.local", port) for port in (9000, 9001)}
"""The calls of the front, as they are kept."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """Two instances of a caller, one service with a port of each kind, and one that nobody calls."""
    with both_kinds("warm", tmp_path_factory.mktemp("warm"), MESH) as mesh:
        yield mesh


def n_asked(mesh: Tiny) -> int:
    """Names that some call has had to wait for since the control plane started."""
    return metric(mesh, "byway_xds_on_demand_total")


def metric(mesh: Tiny, name: str) -> int:
    """A counter of the control plane."""
    text = httpx.get(f"http://{mesh.admin}/metrics", timeout=10, trust_env=False).text
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
    return int(float(line.split()[-1]))


def in_sync(mesh: Tiny) -> bool:
    """Whether all proxies are connected and hold what they should."""
    proxies = httpx.get(f"http://{mesh.admin}/api/status", timeout=10, trust_env=False).json()["proxies"]
    return len(proxies) == 4 and all(proxy["connected"] and proxy["in_sync"] for proxy in proxies)


def called(mesh: Tiny, instance: str, code: str) -> str:
    return mesh.cli("exec", instance, "--", "python3", "-c", code).strip()


def calls_all(mesh: Tiny, instance: str) -> None:
    """One request and one connection, as the application makes them."""
    assert called(mesh, instance, HTTP.format("back:9000")) == "the back answers"
    assert called(mesh, instance, TCP.format("back", 9001)) == "echo hello"


def restarts(mesh: Tiny, instance: str) -> None:
    """Envoy is killed, and another one is ready."""
    record = mesh.state / "run" / instance / "envoy.process"
    before = record.read_bytes()
    os.kill(json.loads(before)["pid"], signal.SIGKILL)

    def is_back() -> bool:
        found = status(mesh, instance)
        return record.read_bytes() != before and found["envoy_state"] == "ready" and found["in_sync"]

    Demo.wait(is_back, 20)


def kept(mesh: Tiny) -> set[tuple[str, str, int]]:
    """What the control plane would remember if it were killed now."""
    path = mesh.state / "calls.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    return {(row["caller"]["workload"], row["call"]["host"], row["call"]["port"]) for row in rows}


def test_a_first_call_asks_and_after_a_restart_nothing_does(mesh: Tiny) -> None:
    """Once for HTTP and once for TCP; the sidecar that starts again asks for neither."""
    before = n_asked(mesh)
    calls_all(mesh, "front-1")
    assert n_asked(mesh) == before + 2
    restarts(mesh, "front-1")
    calls_all(mesh, "front-1")
    assert n_asked(mesh) == before + 2


def test_another_instance_of_the_workload_starts_warm(mesh: Tiny) -> None:
    """It has never called anything itself."""
    calls_all(mesh, "front-1")
    before = n_asked(mesh)
    restarts(mesh, "front-2")
    calls_all(mesh, "front-2")
    assert n_asked(mesh) == before


def test_what_is_known_survives_the_control_plane(mesh: Tiny) -> None:
    """Killed without a word; running sidecars are sent nothing, and one that starts after it asks for nothing."""
    calls_all(mesh, "front-1")
    Demo.wait(lambda: kept(mesh) >= BACK, 10)
    kills_the_control_plane(mesh)
    Demo.wait(lambda: quietly(lambda: in_sync(mesh)), 30)
    assert metric(mesh, "byway_xds_resources_sent_total") == 0
    restarts(mesh, "front-1")
    calls_all(mesh, "front-1")
    assert n_asked(mesh) == 0


def test_what_was_lost_is_learned_again_from_what_proxies_report(mesh: Tiny) -> None:
    """A running Envoy never asks again, so its traffic is all that can tell."""
    kills_the_control_plane(mesh, forgetting=True)
    Demo.wait(lambda: quietly(lambda: in_sync(mesh)), 30)
    calls_all(mesh, "front-1")
    Demo.wait(lambda: kept(mesh) >= BACK, 60)
    assert n_asked(mesh) == 0
    restarts(mesh, "front-1")
    calls_all(mesh, "front-1")
    assert n_asked(mesh) == 0


def kills_the_control_plane(mesh: Tiny, *, forgetting: bool = False) -> None:
    """Without a word; another one is started in its place, which may find nothing that the first has learned."""
    (old,) = [pid for pid in pids(mesh.state, "control-plane") if pid in members(mesh.state)]
    os.kill(old, signal.SIGKILL)
    if forgetting:
        (mesh.state / "calls.json").unlink()
    Demo.wait(lambda: pids(mesh.state, "control-plane") not in ([], [old]))


def test_a_sidecar_resource_names_what_is_called_and_forbids_the_rest(mesh: Tiny) -> None:
    """Named, a service is there before it was ever called; not named, it is an unknown host, and TCP is refused."""
    calls_all(mesh, "front-1")
    calls_all(mesh, "front-2")
    before = n_asked(mesh)
    file = mesh.file.with_name("sidecar.yaml")
    file.write_text(SIDECAR)
    mesh.cli("apply", "-f", str(file))
    restarts(mesh, "other-1")
    assert "front: the back answers" in called(mesh, "other-1", HTTP.format("front:8000"))
    assert n_asked(mesh) == before
    code = (
        "import urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen('http://back:9000/', timeout=5).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert called(mesh, "other-1", code) == "404"
    refused = (
        "import socket; c = socket.create_connection(('back', 9001), 5); c.settimeout(5)\n"
        "try:\n c.sendall(b'hello'); print(c.recv(100))\nexcept OSError: print(b'')"
    )
    assert called(mesh, "other-1", refused) == "b''"
    file.write_text(SIDECAR.replace('"]}]', '", "default/back"]}]'))
    mesh.cli("apply", "-f", str(file))
    assert called(mesh, "other-1", code) == "200"
    assert called(mesh, "other-1", TCP.format("back", 9001)) == "echo hello"
    mesh.cli("delete", "-f", str(file))
    assert called(mesh, "other-1", code) == "200"
    assert called(mesh, "other-1", TCP.format("back", 9001)) == "echo hello"
