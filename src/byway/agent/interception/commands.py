"""The host's own network tools (`ip`, `iptables`), run with a bound and with readable errors."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from byway.base.errors import FaultError

_LIMIT_S: Final = 20
_PATH: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_LOCK_WAIT_S: Final = "10"


_TOOLS: Final = {"ip": "iproute2", "iptables-restore": "iptables", "iptables-save": "iptables", "nsenter": "util-linux"}


def missing_packages() -> tuple[str, ...]:
    """The Debian packages whose tools are not there."""
    return tuple(sorted({package for tool, package in _TOOLS.items() if shutil.which(tool, path=_PATH) is None}))


class NetworkToolFailed(FaultError):
    """A network tool is missing or refused its work."""


def output(*command: str, stdin: str = "", namespace: Path | None = None) -> str:
    """What the tool prints; raises NetworkToolFailed with its complaint."""
    entered = (f"nsenter --net={namespace} --".split() if namespace else []) + list(command)
    try:
        done = subprocess.run(
            entered, input=stdin, capture_output=True, text=True, timeout=_LIMIT_S, check=False, env={"PATH": _PATH}
        )
    except FileNotFoundError as error:
        raise NetworkToolFailed(f"{entered[0]} is not installed (apt-get install iproute2 iptables)") from error
    except subprocess.TimeoutExpired as error:
        raise NetworkToolFailed(f"`{' '.join(command)}` did not end within {_LIMIT_S} s") from error
    if done.returncode != 0:
        complaint = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise NetworkToolFailed(f"`{' '.join(command)}` failed: {complaint}")
    return done.stdout


def listing(*arguments: str, namespace: Path | None = None) -> list[dict[str, Any]]:
    """What `ip -json` lists."""
    text = output("ip", "-json", *arguments, namespace=namespace)
    return [entry for entry in json.loads(text or "[]") if entry]


def batch(lines: Sequence[str], namespace: Path | None = None) -> None:
    """Runs several `ip` commands in one process; the first that fails ends it."""
    if lines:
        output("ip", "-batch", "-", stdin="\n".join([*lines, ""]), namespace=namespace)


def saved_rules(namespace: Path | None = None) -> str:
    """The IPv4 rules in force."""
    return output("iptables-save", namespace=namespace)


def restore_whole(tables: str, namespace: Path) -> None:
    """Replaces whole tables in a namespace that is ours."""
    output("iptables-restore", "-w", _LOCK_WAIT_S, stdin=tables, namespace=namespace)


def restore_part(tables: str) -> None:
    """Changes only what `tables` names, in the host's namespace."""
    if tables:
        output("iptables-restore", "-w", _LOCK_WAIT_S, "--noflush", stdin=tables)
