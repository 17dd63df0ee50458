"""A mesh whose state is not at its usual place is named by `byway down`, and left alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any


async def test_down_names_the_meshes_that_it_leaves_alone(mesh: Any) -> None:
    """What runs at the usual places is hidden from it, so that nobody else's mesh is stopped."""
    await mesh.start_agent()
    await mesh.all_ready()
    hidden = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mkdir -p /var/lib/byway && mount -t tmpfs none /var/lib/byway && exec "$@"',
        "sh",
    )
    command = (*hidden, sys.executable, "-m", "byway.cli.main", "down")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"byway down --state {mesh.state.resolve()} ends it" in done.stdout
    assert "nothing of it runs" not in done.stdout
    assert await mesh.all_ready()
    await mesh.stop_agent()
