"""Eager discovery: a sidecar holds every service from its start on, is sent what comes and loses what goes; and lazy again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.real.demo.conftest import Demo
from tests.real.demo.meshes import BYWAY, Tiny, both_kinds
from tests.real.demo.test_prewarm import HTTP, TCP, called, kills_the_control_plane, metric, n_asked, restarts
from tests.real.demo.test_resilience import quietly

MESH = """\
mesh: eager
services:
  front:
    port: 8000
    command: ["${python}", front.py]
    discovery: eager
  back:
    ports: [{name: http, port: 9000}, {name: tcp, port: 9001}]
    command: ["${python}", both.py]
  other:
    port: 9000
    command: ["${python}", back.py]
"""
CONFIG = """
apiVersion: byway.dev/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {discovery: %s}
"""
MORE = """
apiVersion: v1
kind: Service
metadata: {name: more}
spec: {clusterIP: 240.240.9.9, selector: {app: back}, ports: [{name: http, port: 9000}, {name: tcp, port: 9001}]}
"""
FRONT, BACK, OTHER, ADDED = (
    f"outbound|{port}||{name}.default.svc.cluster.local"
    for name, port in (("front", 8000), ("back", 9000), ("other", 9000), ("more", 9000))
)
ADDED_TCP = "tcp|240.240.9.9:9001"
LOAD = """
import http.client, os, sys, time
until, found = time.monotonic() + 60, set()
connection = http.client.HTTPConnection("back", 9000, timeout=10)
while not os.path.exists(sys.argv[1]) and time.monotonic() < until:
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    found.add(response.status)
print(*found)
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """One workload that is eager by the mesh file, and two for which the mesh decides."""
    with both_kinds("eager", tmp_path_factory.mktemp("eager"), MESH) as mesh:
        yield mesh


def clusters(mesh: Tiny, workload: str) -> set[str]:
    """Other services' clusters, as that Envoy itself lists them."""
    dump = json.loads(mesh.cli("proxy-config", workload, "clusters", "-o", "json"))
    names = {found["cluster"]["name"] for part in dump for found in part.get("dynamic_active_clusters", ())}
    return {name for name in names if name.startswith(("outbound|", "tcp|"))}


def applies(mesh: Tiny, text: str, verb: str = "apply") -> None:
    file = mesh.file.with_name("more.yaml")
    file.write_text(text)
    mesh.cli(verb, "-f", str(file))


def running(mesh: Tiny, workload: str, code: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of a workload's application, while other things happen."""
    command = [*BYWAY, "exec", workload, "--state", str(mesh.state), "--", sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_it_holds_every_service_at_its_start_and_its_first_calls_ask_for_nothing(mesh: Tiny) -> None:
    """Over HTTP and TCP; the others, which are lazy, hold nothing."""
    held = clusters(mesh, "front")
    assert {name for name in held if not name.startswith("tcp|")} == {FRONT, BACK, OTHER}
    assert len(held) == 4
    assert clusters(mesh, "other") == set()
    assert called(mesh, "front-1", HTTP.format("back:9000")) == "the back answers"
    assert called(mesh, "front-1", TCP.format("back", 9001)) == "echo hello"
    assert n_asked(mesh) == 0


def test_a_service_that_comes_is_sent_and_one_that_goes_is_taken_away(mesh: Tiny) -> None:
    """What was taken away and is called all the same is unknown at once; come back, it answers without being asked for."""
    before = n_asked(mesh)
    for _ in range(2):
        applies(mesh, MORE)
        assert {ADDED, ADDED_TCP} <= clusters(mesh, "front")
        assert called(mesh, "front-1", HTTP.format("more:9000")) == "the back answers"
        assert called(mesh, "front-1", TCP.format("more", 9001)) == "echo hello"
        assert n_asked(mesh) == before
        applies(mesh, MORE, "delete")
        assert not {ADDED, ADDED_TCP} & clusters(mesh, "front")
    gone = "curl -s -o /dev/null -w %{http_code} -m 5 -H Host:more:9000 http://back:9000/"
    assert mesh.cli("exec", "front", "--", *gone.split()).strip() == "404"
    applies(mesh, MORE)
    assert called(mesh, "front-1", HTTP.format("more:9000")) == "the back answers"
    applies(mesh, MORE, "delete")


def test_after_the_control_plane_was_killed_nothing_is_sent_again(mesh: Tiny) -> None:
    """An eager proxy names all that it holds."""
    kills_the_control_plane(mesh)
    Demo.wait(lambda: quietly(lambda: metric(mesh, "byway_xds_connected") == 3), 30)
    Demo.wait(lambda: all(p["in_sync"] for p in json.loads(mesh.cli("status", "-o", "json"))), 30)
    assert metric(mesh, "byway_xds_resources_sent_total") == 0
    assert BACK in clusters(mesh, "front")


def test_a_mesh_becomes_eager_and_lazy_again_and_no_call_fails(mesh: Tiny) -> None:
    """At once for those that run, whatever they are calling; and a sidecar that starts afterwards is what the mesh is then."""
    enough = mesh.file.with_name("enough")
    load = [running(mesh, "other", LOAD, str(enough)) for _ in range(3)]
    applies(mesh, CONFIG % "eager")
    assert {FRONT, BACK, OTHER} <= clusters(mesh, "other")
    applies(mesh, CONFIG % "lazy")
    assert FRONT not in clusters(mesh, "other")
    applies(mesh, CONFIG % "eager")
    applies(mesh, CONFIG % "lazy")
    enough.touch()
    assert [process.communicate(timeout=60)[0].strip() for process in load] == ["200"] * 3
    assert FRONT in clusters(mesh, "front"), "what the mesh file says of the workload counts"
    applies(mesh, CONFIG % "eager")
    restarts(mesh, "other-1")
    assert {FRONT, BACK, OTHER} <= clusters(mesh, "other")
    applies(mesh, CONFIG % "lazy", "delete")
    restarts(mesh, "back-1")
    assert clusters(mesh, "back") == set()
