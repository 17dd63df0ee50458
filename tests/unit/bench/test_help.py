"""`python -m bench --help`: every group is told of, and nothing is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.__main__ import GROUPS


def test_help_names_every_group() -> None:
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    told = [line.split()[0] for line in run.stdout.splitlines() if line.startswith("  ")]
    assert told == [*GROUPS, "scale", "--quick"]
