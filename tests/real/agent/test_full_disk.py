"""A full disk stops writes and nothing else: who comes back meanwhile goes on, or says in one line what to do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byway.agent import teardown


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory on a small file system of its own."""
    directory = Path(tempfile.mkdtemp(prefix="bw-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", directory], check=True)
    yield directory
    subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
    (directory / "filler").unlink(missing_ok=True)
    teardown.remove_everything(directory)
    subprocess.run(["umount", "--lazy", directory], check=True)
    directory.rmdir()


def fill(state: Path) -> None:
    """Takes all the room there is, the last byte as well."""
    with (state / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65536)
    with pytest.raises(OSError, match="No space"):
        (state / "more").write_bytes(b"x")
    (state / "more").unlink()


async def test_an_agent_comes_back_on_a_full_disk(mesh: Any, process_of: Any) -> None:
    """It needs no room to adopt what runs; its record is lost, its lock tells who it is."""
    await mesh.start_agent()
    before = await mesh.all_ready()
    await mesh.kill_agent()
    fill(mesh.state)
    await mesh.start_agent()
    after = await mesh.all_ready()
    for process in ("envoy", "application"):
        assert process_of(after, "web-1", process) == process_of(before, "web-1", process)
    assert mesh.agent.returncode is None
    (mesh.state / "filler").unlink()
    await mesh.stop_agent()


def test_a_control_plane_that_cannot_write_says_so_in_one_line(state: Path) -> None:
    fill(state)
    settings = f'{{"mesh": "m", "state": "{state}", "admin": "127.0.0.1:0", "xds": "127.0.0.1:0"}}'
    command = (sys.executable, "-m", "byway.app.entry", "control-plane", settings)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    record, last = done.stderr.strip().splitlines()[0], done.stderr.strip().splitlines()[-1]
    assert record.startswith("byway control-plane: goes on without its record: ")
    assert last.startswith("byway control-plane: ")
    assert "No space left on device" in last


def test_down_on_a_file_system_that_cannot_be_written_says_so(state: Path) -> None:
    (state / "control-plane.process").write_bytes(b"\xff")
    subprocess.run(["mount", "-o", "remount,ro", state], check=True)
    command = (sys.executable, "-m", "byway.cli.main", "down", "--state", str(state))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert f"{state}/control-plane.process: Read-only file system (mend it, then run byway down again)" in done.stderr
    assert "mistake of its own" not in done.stderr
