"""`byway demo`: the packaged fleet, under load, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from byway.app.settings import LocalSettings
from byway.cli.options import Envoy, State
from byway.cli.values import address, number_within, seconds
from byway.cli.wording import FileError

MESH: Final = "demo"

Interception = Literal["iptables", "explicit"]

Proxying = Annotated[
    Interception | None,
    Parameter(
        name="--proxy",
        help="How traffic reaches the proxies: iptables (the default for root) or explicit (by http_proxy).",
    ),
]
AdminAddress = Annotated[str, Parameter(name="--admin", help="Where the control plane's HTTP listens (HOST:PORT).")]
XdsAddress = Annotated[str, Parameter(name="--xds", help="Where the control plane's xDS and CSR listen (HOST:PORT).")]
CertificateLife = Annotated[
    str, Parameter(name="--certificate-life", help="How long a workload's certificate is valid; renewed at half of it.")
]


def command(
    *,
    for_: Annotated[
        str | None, Parameter(name="--for", help="Stop after so many seconds, clean up and exit with 0.")
    ] = None,
    rate: Annotated[
        float, Parameter(help="Requests a second that the load generator sends to the ingress; 0 for none.")
    ] = 20.0,
    proxy: Proxying = None,
    state: State = None,
    envoy: Envoy = None,
    ingress: Annotated[str, Parameter(help="Where the ingress gateway listens (HOST:PORT).")] = "127.0.0.1:8080",
    admin: AdminAddress = "127.0.0.1:15014",
    xds: XdsAddress = "127.0.0.1:15012",
    certificate_life: CertificateLife = "24h",
) -> int:
    """Run the packaged fleet of 20 services under load, until Ctrl-C.

    Each service is a process of its own with its own identity and Envoy; the control plane and the agent are
    processes, too. When it ends, by Ctrl-C or --for, nothing is left on the machine but the state directory.
    """
    settings = LocalSettings(
        mesh=MESH,
        file="",
        state=state or "",
        envoy=envoy or "",
        proxy=proxy or "",
        for_s=None if for_ is None else seconds("--for", for_),
        rate=number_within("--rate", rate, 0, 10_000),
        ingress=address("--ingress", ingress),
        admin=address("--admin", admin),
        xds=address("--xds", xds),
        certificate_life_s=seconds("--certificate-life", certificate_life),
    )
    return run(settings)


def run(settings: LocalSettings) -> int:
    """Runs a local mesh to its end; what is wrong in a file is told as compilers tell it."""
    from byway.app.local import run_local
    from byway.app.preflight import MeshFileError

    if os.environ.get("BYWAY_STORE"):
        note = "BYWAY_STORE is for `byway serve`: this mesh keeps its resources in its state directory"
        print(f"byway: note: {note}", file=sys.stderr)
    try:
        return run_local(settings)
    except MeshFileError as error:
        raise FileError(str(error)) from error
