"""`byway up`: a mesh of one's own local processes, described in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from byway.app.settings import LocalSettings
from byway.cli.demo import AdminAddress, CertificateLife, Proxying, XdsAddress, run
from byway.cli.options import Envoy, State
from byway.cli.values import address, seconds
from byway.cli.wording import FileError


def command(
    *,
    file: Annotated[str, Parameter(name=["--file", "-f"], help="The description of the mesh.")] = "byway.yaml",
    for_: Annotated[
        str | None, Parameter(name="--for", help="Stop after so many seconds, clean up and exit with 0.")
    ] = None,
    proxy: Proxying = None,
    state: State = None,
    envoy: Envoy = None,
    admin: AdminAddress = "127.0.0.1:15014",
    xds: XdsAddress = "127.0.0.1:15012",
    certificate_life: CertificateLife = "24h",
) -> int:
    """Run a mesh of your own local processes, described in one file, until Ctrl-C."""
    if not Path(file).is_file():
        raise FileError(f"{file}: no such file (describe your mesh in it, or name another file with -f)")
    settings = LocalSettings(
        mesh="",
        file=str(Path(file).resolve()),
        state=state or "",
        envoy=envoy or "",
        proxy=proxy or "",
        for_s=None if for_ is None else seconds("--for", for_),
        rate=0.0,
        ingress="",
        admin=address("--admin", admin),
        xds=address("--xds", xds),
        certificate_life_s=seconds("--certificate-life", certificate_life),
    )
    return run(settings)
