"""The Envoy that this machine would run: where it is, and which version it says it is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from byway.base.errors import FaultError

ANSWER_S: Final = 20.0  # the first start reads a 100 MB program from a disk that may be cold
_VERSION: Final = re.compile(r"/(\d+\.\d+\.\d+[^/]*)/")


class EnvoyVersion(msgspec.Struct, frozen=True):
    """An Envoy program that runs."""

    path: Path
    version: str


def envoy_version(named: str | None) -> EnvoyVersion:
    """Finds Envoy as the agent does and asks it; raises what says how to mend it."""
    from byway.agent.binary import envoy_binary

    path = envoy_binary(named or "", os.environ)
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FaultError(f"{path} does not run: {error} (name another one with --envoy)") from error
    found = _VERSION.search(answer.stdout)
    if answer.returncode or not found:
        raise FaultError(
            f"{path} does not run: {(answer.stderr or answer.stdout).strip()[:200]} (name another one with --envoy)"
        )
    return EnvoyVersion(path, found[1])
