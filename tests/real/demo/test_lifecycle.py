"""However a mesh ends, it leaves nothing that hinders the next start; and two meshes of one name do not meet."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.demo.conftest import Demo, require_root
from tests.real.demo.meshes import BYWAY, Tiny, members, traces

SECOND_START_S = 45.0
NOTICE_S = 15.0


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A small mesh, not started."""
    require_root()
    mesh = Tiny(tmp_path / "tiny")
    yield mesh
    mesh.end()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Demo]:
    """The whole fleet, not started."""
    require_root()
    fleet = Demo(tmp_path, "--for", "3")
    yield fleet
    if fleet.process is not None and fleet.process.poll() is None:
        fleet.stop()
    fleet.down()


def killed_at_once(process: subprocess.Popen[bytes], state: Path) -> None:
    """The supervisor, the control plane and the agent are gone before one can notice the other's end."""
    pids = [process.pid, *members(state)]
    assert len(pids) == 3
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.wait(10)


def test_after_a_kill_of_everything_the_fleet_starts_again_and_ends_in_its_time(fleet: Demo) -> None:
    fleet.start()
    assert fleet.process is not None
    killed_at_once(fleet.process, fleet.state)
    assert traces("demo", fleet.state) != []
    began = time.monotonic()
    fleet.start()
    assert time.monotonic() - began < SECOND_START_S
    assert "20/20 services are ready (23 proxies)" in fleet.output
    assert fleet.process.wait(40) == 0
    assert traces("demo", fleet.state) == []


def test_when_the_supervisor_is_killed_its_agent_removes_everything(tiny: Tiny) -> None:
    process = tiny.start()
    assert traces("tiny", tiny.state) != []
    process.kill()
    process.wait(10)
    Demo.wait(lambda: not members(tiny.state), NOTICE_S)
    assert [trace for trace in traces("tiny", tiny.state) if "scratch" not in trace] == []


def test_down_removes_what_a_kill_of_everything_left(tiny: Tiny) -> None:
    killed_at_once(tiny.start(), tiny.state)
    assert traces("tiny", tiny.state) != []
    for _ in range(2):
        done = subprocess.run([*BYWAY, "down", "--state", str(tiny.state)], timeout=60, check=False)
        assert done.returncode == 0
        assert traces("tiny", tiny.state) == []


def test_a_start_finds_what_is_left_even_when_its_records_were_deleted(tiny: Tiny) -> None:
    killed_at_once(tiny.start(), tiny.state)
    shutil.rmtree(tiny.state)
    assert traces("tiny", tiny.state) != []
    assert tiny.start("--for", "0.5").wait(40) == 0
    assert traces("tiny", tiny.state) == []


def test_ctrl_c_ends_one_mesh_and_leaves_another_of_the_same_name_alone(tiny: Tiny, tmp_path: Path) -> None:
    other = Tiny(tmp_path / "other")
    try:
        process = tiny.start()
        other.start()
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        assert traces("tiny", tiny.state) == []
        assert other.fetched("front", "http://back:9000/") == "the back answers"
    finally:
        other.end()
    assert traces("tiny", other.state) == []


def test_a_mesh_that_runs_is_not_started_twice(tiny: Tiny) -> None:
    tiny.start()
    code, complaint = tiny.outcome()
    assert code == 1
    assert "runs already" in complaint
    assert f"byway down --state {tiny.state}" in complaint
    assert tiny.fetched("front", "http://back:9000/") == "the back answers"
