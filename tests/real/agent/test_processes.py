"""Detached processes: recorded, adopted, never duplicated, ended with all that they started."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from byway.agent import lifecycle, processes
from byway.agent.launch import EXIT_ALREADY_RUNNING, EXIT_NOT_STARTED
from byway.agent.lifecycle import Phase, Policy
from byway.agent.processes import Launch
from byway.agent.supervision import Supervisor
from byway.base.clock import SystemClock

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def sleeper(record: Path, seconds: int = 60) -> Launch:
    return Launch(argv=("sleep", str(seconds)), env=ENVIRONMENT, record=str(record))


class Sleeping:
    """A body that is ready as soon as it has become what it is to be."""

    def __init__(self, record: Path, fingerprint: str = "") -> None:
        self.record = record
        self.fingerprint = fingerprint
        self.n_launches = 0

    def launch(self) -> Launch:
        self.n_launches += 1
        return sleeper(self.record)

    async def is_ready(self, pid: int) -> bool:
        found = processes.read_record(self.record)
        return found is not None and found.pid == pid

    async def drain(self) -> None:
        return None


def supervisor(body: Sleeping, record: Path) -> Supervisor:
    return Supervisor(
        "sleeping",
        body,
        record=record,
        log_file=record.with_suffix(".log"),
        policy=Policy(terminate_s=1),
        clock=SystemClock(),
        chance=random.Random(1),
        on_change=lambda: None,
    )


async def recorded(record: Path, eventually: Any) -> None:
    async def is_there() -> bool:
        return processes.read_record(record) is not None

    await eventually(is_there, 5)


async def test_a_recorded_process_is_found_again(tmp_path: Path, eventually: Any) -> None:
    """By its record; once it has ended, there is nothing to adopt."""
    record = tmp_path / "app.process"
    started = processes.start(sleeper(record), tmp_path / "log")
    await recorded(record, eventually)
    found = processes.adopted(record)
    assert found is not None
    assert found.pid == started.pid
    assert os.getsid(started.pid) == started.pid
    found.send(signal.SIGTERM)
    assert await started.exited() == "killed by SIGTERM"
    assert await found.exited() == "ended while it was adopted"
    assert processes.adopted(record) is None


async def test_a_record_of_another_process_is_not_believed(tmp_path: Path, eventually: Any) -> None:
    """A pid that was given out again has another start time; a record of an earlier boot is void."""
    record = tmp_path / "app.process"
    start, boot = processes.start_time(os.getpid()), processes.boot_id()
    assert start is not None
    for pid, at, where in ((os.getpid(), start + 1, boot), (os.getpid(), start, "other"), (2**22 - 1, start, boot)):
        record.write_text(f'{{"pid":{pid},"start":{at},"boot":"{where}"}}')
        assert processes.adopted(record) is None
    record.write_text('{"pid":')
    assert processes.adopted(record) is None


async def test_a_process_is_never_duplicated(tmp_path: Path, eventually: Any) -> None:
    """A second launcher with the same record gives way, also when the record's content is lost."""
    record = tmp_path / "app.process"
    first = processes.start(sleeper(record), tmp_path / "log")
    await recorded(record, eventually)
    record.unlink()
    second = processes.start(sleeper(record), tmp_path / "log")
    assert await second.exited() == f"exited with code {EXIT_ALREADY_RUNNING}"
    first.send(signal.SIGKILL)
    await first.exited()


async def test_a_program_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    """In the log, with the launcher's own code."""
    launch = Launch(argv=("no-such-program",), env=ENVIRONMENT, record=str(tmp_path / "r"))
    assert await processes.start(launch, tmp_path / "log").exited() == f"exited with code {EXIT_NOT_STARTED}"
    assert "cannot start no-such-program" in (tmp_path / "log").read_text()


async def test_what_a_process_left_behind_ends_with_it(tmp_path: Path, eventually: Any) -> None:
    """A child that outlived its parent would hold the port of the next one."""
    record, child = tmp_path / "app.process", tmp_path / "child"
    command = f"sleep 60 & echo $! > {child}.new; mv {child}.new {child}; wait"
    parent = processes.start(Launch(argv=("sh", "-c", command), env=ENVIRONMENT, record=str(record)), tmp_path / "log")

    async def has_child() -> bool:
        return child.exists()

    await eventually(has_child, 5)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.exited()

    async def child_is_gone() -> bool:
        return processes.start_time(int(child.read_text())) is None or "Z" in processes.stat_fields(
            int(child.read_text())
        )

    await eventually(child_is_gone, 5)


async def test_privileges_are_dropped_for_good(tmp_path: Path) -> None:
    """User, group and supplementary groups are the plan's; a program in a directory closed to them runs all the same."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "id"
    shutil.copyfile("/usr/bin/id", program)
    program.chmod(0o755)
    launch = Launch(argv=(str(program),), env=ENVIRONMENT, uid=65534, gid=65534, record=str(tmp_path / "r"))
    await processes.start(launch, tmp_path / "log").exited()
    assert "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)" in (tmp_path / "log").read_text()


async def test_a_supervisor_restarts_adopts_and_stops(tmp_path: Path) -> None:
    """Cancelled, it leaves the process; the next one adopts it, and its count of restarts; stopped, it ends it."""
    record = tmp_path / "app.process"
    first = supervisor(body := Sleeping(record), record)
    running = asyncio.create_task(first.run())
    first.tell(lifecycle.WasAskedToStart())
    async with asyncio.timeout(20):
        await first.reached(Phase.READY)
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGKILL)
        await first.reached(Phase.BACKOFF)
        await first.reached(Phase.READY)
        assert (body.n_launches, first.life.last_exit) == (2, "killed by SIGKILL")
        pid = first.process.pid
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        second = supervisor(other := Sleeping(record), record)
        running = asyncio.create_task(second.run())
        second.tell(lifecycle.WasAskedToStart())
        await second.reached(Phase.READY)
        assert second.process is not None
        assert (second.process.pid, other.n_launches) == (pid, 0)
        assert (first.life.n_restarts, second.life.n_restarts) == (1, 1)
        second.tell(lifecycle.WasAskedToStop())
        await second.reached(Phase.STOPPED)
    assert processes.adopted(record) is None
    running.cancel()


async def test_what_was_started_for_another_plan_is_restarted(tmp_path: Path) -> None:
    """The fingerprint in the record differs from what is wanted now."""
    record = tmp_path / "app.process"
    first = supervisor(Sleeping(record, "old plan"), record)
    running = asyncio.create_task(first.run())
    first.tell(lifecycle.WasAskedToStart())
    async with asyncio.timeout(20):
        await first.reached(Phase.READY)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        second = supervisor(body := Sleeping(record, "new plan"), record)
        running = asyncio.create_task(second.run())
        second.tell(lifecycle.WasAskedToStart())
        await second.reached(Phase.DRAINING)
        await second.reached(Phase.READY)
        assert body.n_launches == 1
        second.tell(lifecycle.WasAskedToStop())
        await second.reached(Phase.STOPPED)
    running.cancel()


@pytest.mark.parametrize("shell", ["exec sleep 60", "trap '' TERM; sleep 60 & wait; wait; wait"])
async def test_a_process_that_ignores_its_end_is_killed(tmp_path: Path, shell: str) -> None:
    """SIGTERM first, SIGKILL after the policy's time; the whole group is meant."""
    record = tmp_path / "app.process"
    body = Sleeping(record)
    body.launch = lambda: Launch(argv=("sh", "-c", shell), env=ENVIRONMENT)  # type: ignore[method-assign]
    kept = supervisor(body, record)
    running = asyncio.create_task(kept.run())
    kept.tell(lifecycle.WasAskedToStart())
    async with asyncio.timeout(20):
        await kept.reached(Phase.READY)
        kept.tell(lifecycle.WasAskedToStop())
        await kept.reached(Phase.STOPPED)
    assert kept.life.last_exit.startswith("killed by")
    running.cancel()


def test_the_launcher_starts_in_a_few_milliseconds(tmp_path: Path) -> None:
    """It imports nothing but the standard library, so its start is an interpreter's start."""
    import subprocess

    command = Launch(argv=("true",), env=ENVIRONMENT).command()
    assert command[:3] == [sys.executable, "-I", "-S"]
    assert subprocess.run(command, check=False, timeout=10).returncode == 0
