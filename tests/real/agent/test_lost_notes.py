"""What a mesh left on this host is removed although its notes are lost or damaged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def cut(note: Path) -> None:
    note.write_bytes(note.read_bytes()[:20])


def spoil(note: Path) -> None:
    note.write_bytes(b'{"mesh": "\xff"}')


@pytest.mark.parametrize("damage", [cut, spoil, Path.unlink])
async def test_down_takes_a_network_back_whose_note_is_lost(mesh: Any, host_network: Any, damage: Any) -> None:
    """The plan beside it tells the mesh's name and its instances, and so the names of all that was made."""
    await mesh.start_agent()
    await mesh.all_ready()
    await mesh.kill_agent()
    assert host_network()
    damage(mesh.state / "run" / "network.json")
    command = (sys.executable, "-m", "byway.cli.main", "down", "--state", str(mesh.state))
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert host_network() == []
