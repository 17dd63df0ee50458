"""`byway plan`: what a mesh file means, for a control plane and an agent that run alone."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.cli.demo import Proxying
from byway.cli.options import State
from byway.cli.wording import FileError


def command(
    *,
    file: Annotated[str, Parameter(name=["--file", "-f"], help="The description of the mesh.")] = "byway.yaml",
    proxy: Proxying = None,
    state: State = None,
) -> int:
    """Write the agent's plan of a mesh file, and print the mesh's resources as YAML.

    `byway up` does this by itself. It is for control planes and agents that run alone: the plan goes to `plan.json` in
    the state directory, where `byway agent` finds it when it starts; the resources are for `byway apply`.
    """
    from byway.app.drawing import drawn
    from byway.app.preflight import MeshFileError

    try:
        print(drawn(file, state or "", proxy or ""), end="")
    except MeshFileError as error:
        raise FileError(str(error)) from error
    return 0
