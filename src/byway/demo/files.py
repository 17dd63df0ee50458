"""Where the demo's files lie: its `mesh.yaml`, and the resources to try with `byway apply -f`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MESH: Final = Path(__file__).with_name("mesh.yaml")
"""The description of the fleet, as a user would write it for `byway up`."""

RESOURCES: Final = Path(__file__).with_name("resources")
"""The folder with one YAML file for each thing to try."""


def resources() -> tuple[Path, ...]:
    """Every file to try, by name."""
    return tuple(sorted(RESOURCES.glob("*.yaml")))
