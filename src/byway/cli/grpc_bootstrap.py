"""`byway grpc-bootstrap`: what a program needs to know to be a client of the mesh by its gRPC library alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from byway.base.errors import FaultError
from byway.cli.options import State
from byway.cli.state import running_state
from byway.cli.workload import planned


def command(
    workload: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"), help="A file to write it to.")] = None,
    state: State = None,
) -> None:
    """Print the bootstrap of a workload's gRPC client, which then needs no Envoy.

    The workload is one with `proxy: grpc` in the mesh's file. What Byway starts has its bootstrap in its environment
    already; this is for programs that you start by yourself on this host, as that workload:
    `GRPC_XDS_BOOTSTRAP=file python client.py`, which calls `xds:///link-service:8080`.

    Parameters
    ----------
    workload
        The name of a workload (its first instance is meant), of a service, or of an instance, with or without `.NAMESPACE`.
    """
    from byway.agent.grpc_client import bootstrap_json
    from byway.agent.layout import Layout
    from byway.agent.plan import read_plan

    folder = running_state(state).absolute()
    layout = Layout(folder)
    try:
        found = planned(read_plan(layout.plan), workload)
        document = bootstrap_json(found, layout.workload(found.instance).client) + b"\n"
        if output is None:
            sys.stdout.write(document.decode())
        else:
            output.write_bytes(document)
    except PermissionError as error:
        raise FaultError(f"{error.filename}: {error.strerror} (run this with sudo)") from error
    except OSError as error:
        raise FaultError(f"{error.filename}: {error.strerror}") from error
