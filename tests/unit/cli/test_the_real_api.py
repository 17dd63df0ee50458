"""The command line and the admin API understand each other: the API's own application answers, over HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from byway.admin.api import admin_app
from byway.admin.security import Door
from byway.telemetry.observatory import Observatory
from tests.unit.admin.conftest import TOKEN, FixedClock, MemoryMesh, refuse
from tests.unit.cli.conftest import Byway, block


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The API over a mesh in memory; its address."""
    app = admin_app(MemoryMesh(), Observatory(FixedClock(), refuse), Door(token=TOKEN))
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    running.should_exit = True
    thread.join(timeout=10)
    listening.close()


@pytest.fixture
def state(tmp_path: Path) -> str:
    (tmp_path / "token").write_text(TOKEN)
    return str(tmp_path)


def test_a_file_is_applied(byway: Byway, server: str, state: str, tmp_path: Path) -> None:
    file = tmp_path / "canary.yaml"
    file.write_text("good")
    run = byway("apply", "-f", str(file), "--server", server, "--state", state)
    assert (run.code, run.err) == (0, "")
    assert run.out == block(f"""
        virtualservice.networking.istio.io/{file} created
        2/2 proxies in 38 ms (18 do not use it)
    """)


def test_a_users_mistake_comes_back_with_its_place(byway: Byway, server: str, state: str, tmp_path: Path) -> None:
    file = tmp_path / "canary.yaml"
    file.write_text("bad")
    run = byway("apply", "-f", str(file), "--server", server, "--state", state)
    expected = f"{file}:3:1: spec.hosts is missing (add hosts: [link-service]) [missing-field]\n"
    assert (run.code, run.out, run.err) == (1, "nothing changed\n", expected)


def test_a_name_is_deleted(byway: Byway, server: str, state: str) -> None:
    run = byway("delete", "VirtualService", "web", "--server", server, "--state", state)
    assert (run.code, run.out) == (0, "virtualservice.networking.istio.io/web deleted\n")


def test_a_write_with_a_wrong_token_is_refused(byway: Byway, server: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another")
    run = byway("delete", "vs", "web", "--server", server, "--state", str(tmp_path))
    assert run.code == 1
    assert "this needs 'Authorization: Bearer <token>'" in run.err


def test_an_unknown_kind_is_told(byway: Byway, server: str) -> None:
    run = byway("get", "unicorns", "--server", server)
    assert (run.code, run.err) == (1, "byway: no kind 'unicorns' is known\n")


@pytest.mark.parametrize(
    "words",
    [
        ("get", "virtualservices"),
        ("get", "virtualservices", "web", "-n", "default"),
        ("status",),
        ("certs",),
        ("graph", "--window", "5m"),
        ("top", "workloads"),
        ("traces", "--service", "web", "--limit", "3"),
        ("proxy-config", "web", "listeners,routes,clusters,endpoints,secrets,bootstrap"),
    ],
    ids=" ".join,
)
def test_every_reading_verb_is_answered_as_table_and_as_data(byway: Byway, server: str, words: tuple[str, ...]) -> None:
    as_table = byway(*words, "--server", server)
    assert (as_table.code, as_table.err) == (0, "")
    assert as_table.out
    as_data = byway(*words, "-o", "json", "--server", server)
    assert (as_data.code, as_data.err) == (0, "")
    json.loads(as_data.out)


def test_version_tells_of_the_running_control_plane(byway: Byway, server: str) -> None:
    run = byway("version", "-o", "json", "--server", server)
    assert json.loads(run.out)["control_plane"]["envoy"] == "1.40.0"
