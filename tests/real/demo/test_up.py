"""`byway up`: a user's own processes as a mesh, and what it says where it cannot be one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.demo.conftest import Demo, require_root
from tests.real.demo.meshes import CRASHING, TINY, Tiny, traces


@pytest.fixture(scope="module", params=["iptables", "explicit"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A mesh of two services that work and one that crashes."""
    require_root()
    mesh = Tiny(tmp_path_factory.mktemp("up"), CRASHING)
    mesh.start("--proxy", request.param)
    try:
        yield mesh
    finally:
        mesh.end()
    assert traces("tiny", mesh.state) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A mesh that is not started; whatever becomes of it, nothing of it stays."""
    mesh = Tiny(tmp_path / "tiny")
    yield mesh
    assert traces("tiny", mesh.state) == []


def status(mesh: Tiny, instance: str) -> Any:
    return next(p for p in json.loads(mesh.cli("status", "-o", "json")) if p["instance"] == instance)


def test_processes_call_each_other_through_the_mesh(running: Tiny) -> None:
    assert running.fetched("front", "http://back:9000/") == "the back answers"
    code = (
        "import os, urllib.request as u; opener = u.build_opener(u.ProxyHandler({}));"
        "print(opener.open(f'http://127.0.0.1:{os.environ[\"PORT\"]}/', timeout=5).read().decode())"
    )
    assert running.cli("exec", "front", "--", "python3", "-c", code).strip() == "front: the back answers"


def test_an_application_that_crashes_holds_up_nobody_and_is_named(running: Tiny) -> None:
    assert "2/3 services are ready (3 proxies)" in running.output
    assert "crashing-1: application exited with code 3, started again" in running.output
    assert f"{running.state}/run/crashing-1/app.log" in running.output


def test_a_crashing_application_is_seen_in_the_status_and_started_again(running: Tiny) -> None:
    before = status(running, "crashing-1")
    assert "exited with code 3" in before["last_error"]
    assert before["connected"]
    assert before["in_sync"]
    Demo.wait(lambda: status(running, "crashing-1")["n_app_restarts"] > before["n_app_restarts"], 30)


def test_an_application_that_comes_back_is_told(running: Tiny) -> None:
    """Killed by its user: the agent starts it again, and calls work again."""
    record = running.state / "run" / "back-1" / "app.process"
    before = record.read_bytes()
    os.kill(json.loads(before)["pid"], signal.SIGKILL)
    Demo.wait(lambda: record.read_bytes() != before, 10)
    Demo.wait(lambda: status(running, "back-1")["app_state"] == "ready" and answers(running), 10)


def answers(mesh: Tiny) -> bool:
    try:
        return mesh.fetched("front", "http://back:9000/") == "the back answers"
    except AssertionError:
        return False


@pytest.mark.parametrize(
    ("written", "instead", "place", "message"),
    [
        ("port: 9000", "prot: 9000", "7:5", 'did you mean "port"'),
        ('["${python}", back.py]', "[./absent]", "8:5", "there is no program"),
        ('["${python}", back.py]', "[no-such-program-1]", "8:5", "there is no program no-such-program-1"),
        ('["${python}", back.py]', "[./back.py]", "8:5", "chmod +x"),
        ("    port: 9000", "    cwd: ./nowhere\n    port: 9000", "9:5", "there is no folder"),
    ],
)
def test_a_mistake_in_the_file_is_answered_at_its_place(
    tiny: Tiny, written: str, instead: str, place: str, message: str
) -> None:
    tiny.file.write_text(TINY.replace(written, instead))
    code, complaint = tiny.outcome()
    assert code == 1
    assert complaint.startswith(f"{tiny.file}:{place}: ")
    assert message in complaint
    assert len(complaint.splitlines()) == 1
    assert not tiny.state.exists()


def test_taken_ports_are_named_with_who_has_them(tiny: Tiny) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        tiny.admin = f"127.0.0.1:{taker.getsockname()[1]}"
        code, complaint = tiny.outcome()
    assert code == 1
    assert f"{tiny.admin} is held by " in complaint
    assert f"(pid {os.getpid()})" in complaint
    assert "--admin" in complaint
    assert not tiny.state.exists()


def test_an_envoy_that_is_missing_or_none_is_said(tiny: Tiny) -> None:
    code, complaint = tiny.outcome("--envoy", "/nowhere/envoy")
    assert (code, complaint) == (1, "byway: --envoy names /nowhere/envoy, which is no program that can be run\n")
    code, complaint = tiny.outcome("--envoy", str(shutil.which("true")))
    assert code == 1
    assert "is no Envoy that runs here" in complaint
    assert not tiny.state.exists()


def test_a_state_directory_that_cannot_be_made_is_said(tiny: Tiny) -> None:
    tiny.state = tiny.file / "state"
    code, complaint = tiny.outcome()
    assert code == 1
    assert "--state" in complaint
    assert len(complaint.splitlines()) == 1


def in_a_changed_view(*commands: str) -> tuple[str, ...]:
    """A shell with mounts of its own, in which `commands` are run before the command that follows."""
    return ("unshare", "--mount", "sh", "-c", f'{" && ".join(commands)} && exec "$@"', "sh")


def test_a_full_disk_is_said_before_anything_is_made(tiny: Tiny) -> None:
    require_root()
    tiny.state.mkdir()
    mounted = in_a_changed_view(f"mount -t tmpfs -o size=1M tmpfs {shlex.quote(str(tiny.state))}")
    code, complaint = tiny.outcome(before=mounted)
    assert code == 1
    assert "MB are free" in complaint
    assert "--state" in complaint


def test_without_iptables_the_way_out_is_said(tiny: Tiny) -> None:
    require_root()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    tool = Path(str(shutil.which("iptables-restore", path=path))).resolve()
    nothing = tiny.file.with_name("nothing")
    nothing.touch()
    covered = in_a_changed_view(f"mount --bind {shlex.quote(str(nothing))} {shlex.quote(str(tool))}")
    code, complaint = tiny.outcome(before=covered)
    assert code == 1
    assert "apt-get install iptables" in complaint
    assert "--proxy explicit" in complaint
    assert not tiny.state.exists()


def test_a_process_that_ends_again_and_again_says_why(tiny: Tiny) -> None:
    """Here the agent may not make network namespaces, as in a container without privileges."""
    require_root()
    code, complaint = tiny.outcome(before=in_a_changed_view("mount -o bind,ro /proc/sys /proc/sys"))
    assert code == 1
    last = complaint.splitlines()[-1]
    assert last.startswith("byway: the agent does not start: ")
    assert "Read-only file system" in last
    assert "agent.log" in last
    assert subprocess.run(["pgrep", "-f", str(tiny.state)], capture_output=True, check=False).returncode == 1
