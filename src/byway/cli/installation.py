"""What a local mesh needs of this machine, looked at one by one; each check leaves nothing behind."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from byway.app.listening import holder, is_free
from byway.base.errors import BywayError
from byway.cli.checkup import Check, Verdict
from byway.cli.envoy import envoy_version
from byway.cli.wording import span

GROUP: Final = "installation"
PROBE_S: Final = 10.0
_WITHOUT: Final = "without it, workloads run by explicit proxying only: --proxy explicit"

# A redirect rule in a namespace of its own, which ends with the command.
_INTERCEPTION: Final = (
    "unshare",
    "--net",
    "iptables",
    "-t",
    "nat",
    "-A",
    "OUTPUT",
    "-p",
    "tcp",
    "-j",
    "REDIRECT",
    "--to-ports",
    "15001",
)


def installation_checks(
    envoy: str | None, state: Path, ports: dict[str, tuple[str, int]], *, is_running: bool
) -> Iterator[Check]:
    """Everything about this machine; `is_running` says that a control plane of ours holds the ports."""
    yield _platform()
    yield _root()
    yield _envoy(envoy)
    yield from _interception()
    for purpose, (host, port) in ports.items():
        yield _port(purpose, host, port, is_running=is_running)
    yield _writable(state)


def _check(verdict: Verdict, finding: str, mend: str = "") -> Check:
    return Check(group=GROUP, verdict=verdict, finding=finding, mend=mend)


def _platform() -> Check:
    here = f"{platform.system()} {platform.release()} on {platform.machine()}, Python {platform.python_version()}"
    if platform.system() != "Linux":
        return _check("failed", here, "Byway runs on Linux")
    return _check("ok", here)


def _root() -> Check:
    if os.geteuid() == 0:
        return _check("ok", "running as root")
    return _check("warning", "not running as root", f"run it with sudo to intercept traffic; {_WITHOUT}")


def _envoy(named: str | None) -> Check:
    try:
        found = envoy_version(named)
    except BywayError as error:
        return _check("failed", "no Envoy that runs", str(error))
    return _check("ok", f"Envoy {found.version} runs: {found.path}")


def _interception() -> Iterator[Check]:
    missing = [
        f"{program} (Debian package {package})"
        for program, package in _PROGRAMS
        if not shutil.which(program, path=_PATH)
    ]
    if missing:
        yield _check(
            "warning",
            f"not installed: {', '.join(missing)}",
            f"apt-get install {' '.join(p for _, p in _PROGRAMS)}; {_WITHOUT}",
        )
        return
    yield _check("ok", "ip and iptables are installed")
    if os.geteuid() != 0:
        return
    try:
        probe = subprocess.run(
            _INTERCEPTION,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
            env={**os.environ, "PATH": _PATH},
        )
        trouble = probe.stderr.strip() if probe.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    if trouble:
        mend = f"needs a kernel with network namespaces and NAT (in a container: --privileged); {_WITHOUT}"
        yield _check(
            "warning", f"a network namespace with a redirect rule cannot be made: {trouble.splitlines()[0]}", mend
        )
    else:
        yield _check("ok", "network namespaces and redirect rules can be made")


_PROGRAMS: Final = (("ip", "iproute2"), ("iptables", "iptables"))
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _port(purpose: str, host: str, port: int, *, is_running: bool) -> Check:
    if is_free(host, port):
        return _check("ok", f"port {port} is free ({purpose})")
    who = holder(port) or "a process that only root can see"
    if is_running:
        return _check("ok", f"port {port} is held by {who} ({purpose})")
    return _check(
        "failed", f"port {port} is held by {who} ({purpose})", "stop it, or move Byway's: see `byway demo --help`"
    )


def _writable(state: Path) -> Check:
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    if os.access(there, os.W_OK | os.X_OK):
        free_mb = shutil.disk_usage(there).free // 1_000_000
        verdict: Verdict = "ok" if free_mb > 200 else "warning"
        return _check(
            verdict,
            f"state can be written: {state}, {free_mb} MB free",
            "" if verdict == "ok" else "make room on this disk",
        )
    return _check(
        "failed", f"state cannot be written: {state}", f"{there} is another user's: use --state, or run it with sudo"
    )


def root_certificate_verdict(seconds_left: float) -> tuple[Verdict, str]:
    """How urgent a root certificate's end is: a word at 30 days, a louder one at 14, and a failure at 7."""
    days = seconds_left / 86400
    if days <= 7:
        return "failed", f"all identities end in {span(seconds_left)}: rotate the root now"
    if days <= 14:
        return "warning", f"{span(seconds_left)} left: rotate the root this week"
    return ("warning", f"{span(seconds_left)} left: plan its rotation") if days <= 30 else ("ok", "")
