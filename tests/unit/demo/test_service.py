"""A service as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byway.base.errors import UsageError
from byway.demo.connections import Address
from byway.demo.service import proxy

_COMMAND = [sys.executable, "-P", "-m", "byway.demo.service"]


def test_it_imports_the_standard_library_and_its_own_service_only() -> None:
    program = (
        "import sys; before = set(sys.modules); from byway.demo.service import application; application('web', {});"
        "print([m for m in set(sys.modules) - before if m.split('.')[0] not in sys.stdlib_module_names | {'byway'}]);"
        "print(sorted(m for m in sys.modules if m.startswith(('byway.demo.services.', 'asyncio', 'grpc', 'msgspec'))))"
    )
    said = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout.splitlines() == ["[]", "['byway.demo.services.web']"]


def test_it_is_small(fleet: Any) -> None:
    """At most 25 MB of resident memory each, after it has served."""
    for started in fleet.processes:
        status = Path(f"/proc/{started.pid}/status").read_text()
        resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert resident_kb < 25 * 1024


@pytest.mark.parametrize("arguments", [[], ["no-such-service"], ["web", "more"]])
def test_a_wrong_call_ends_with_2_and_says_why(arguments: list[str]) -> None:
    ended = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr.startswith(("usage: ", "no service 'no-such-service' in the demo: it has web, "))


def test_a_port_that_is_taken_ends_with_1_and_says_so(fleet: Any) -> None:
    env = {**os.environ, "BIND": "127.0.0.1", "PORT": str(fleet.instances["web"][0].port)}
    ended = subprocess.run([*_COMMAND, "web"], capture_output=True, text=True, timeout=30, env=env)
    assert (ended.returncode, ended.stderr.startswith("web cannot listen: ")) == (1, True)


def test_sigterm_ends_it_with_0() -> None:
    env = {**os.environ, "BIND": "127.0.0.1", "PORT": "0"}
    with subprocess.Popen([*_COMMAND, "geo-service"], stdout=subprocess.PIPE, text=True, env=env) as started:
        assert started.stdout is not None
        assert started.stdout.readline().startswith("geo-service-1 v1 listening on 127.0.0.1:")
        started.send_signal(signal.SIGTERM)
        assert started.wait(15) == 0


def test_the_proxy_of_the_surroundings_is_found() -> None:
    assert proxy({}) is None
    assert proxy({"http_proxy": "http://127.0.0.1:41002"}) == Address("127.0.0.1", 41002)
    assert proxy({"HTTP_PROXY": "http://proxy:3128/"}) == Address("proxy", 3128)
    with pytest.raises(UsageError):
        proxy({"http_proxy": "socks"})
