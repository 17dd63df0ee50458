"""Parts of the mesh are killed under load: no request fails, and nothing is sent twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.real.demo.conftest import Demo

URL = "http://analytics-service:8080/version"


@contextmanager
def load(demo: Demo, n: int) -> Iterator[list[Any]]:
    """Steady calls while something happens; the result is there afterwards."""
    results: list[Any] = []
    caller = threading.Thread(target=lambda: results.append(demo.call("web", URL, n, threads=2)))
    caller.start()
    yield results
    caller.join(120)


def pids(state: Path, role: str) -> list[int]:
    """Processes of the mesh with that state directory in that role."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if b"byway.app.entry" in words and role.encode() in words and any(str(state).encode() in w for w in words):
            found.append(int(entry.name))
    return found


def sent(demo: Demo) -> int:
    """Resources that the control plane has sent since it started."""
    for line in demo.get("/metrics").text.splitlines():
        if line.startswith("byway_xds_resources_sent_total"):
            return int(float(line.split()[-1]))
    raise AssertionError("no such metric")


def all_in_sync(demo: Demo) -> bool:
    """Whether every proxy is connected again and holds what it should."""
    try:
        proxies = demo.get("/api/status").json()["proxies"]
    except (OSError, ValueError, KeyError):
        return False
    return len(proxies) == 23 and all(p["connected"] and p["in_sync"] for p in proxies)


def quietly(check: Any) -> bool:
    """The check's answer, or False where the control plane is away."""
    import httpx

    try:
        return bool(check())
    except httpx.HTTPError:
        return False


def settled(demo: Demo) -> bool:
    """Whether the fleet has called all that it calls, so that nothing is on its way any more."""
    before = sent(demo)
    demo.call("web", URL, 200, threads=2)
    return sent(demo) == before


def test_a_killed_control_plane_costs_no_request_and_sends_nothing_again(demo: Demo) -> None:
    demo.wait(lambda: settled(demo))
    with load(demo, 6000) as results:
        (old,) = pids(demo.state, "control-plane")
        os.kill(old, signal.SIGKILL)
        demo.wait(lambda: pids(demo.state, "control-plane") not in ([], [old]))
        demo.wait(lambda: quietly(lambda: all_in_sync(demo)), 30)
        n_sent = sent(demo)
    assert results[0]["by_status"] == {"200": 6000}
    assert n_sent == 0


def test_a_killed_agent_costs_no_request_and_restarts_no_envoy(demo: Demo) -> None:
    envoys = envoy_pids(demo)
    assert len(envoys) == 23
    before = sent(demo)
    with load(demo, 6000) as results:
        (old,) = pids(demo.state, "agent")
        os.kill(old, signal.SIGKILL)
        demo.wait(lambda: pids(demo.state, "agent") not in ([], [old]))
        demo.wait(lambda: quietly(lambda: all_in_sync(demo)), 30)
    assert results[0]["by_status"] == {"200": 6000}
    assert envoy_pids(demo) == envoys
    assert sent(demo) == before


def test_a_killed_envoy_is_back_within_two_seconds_and_its_peers_retry(demo: Demo) -> None:
    victim = "link-service-stable-1"
    (pid,) = [p for instance, p in envoy_pids(demo) if instance == victim]
    url = "http://link-service:8080/version"
    results: list[Any] = []
    caller = threading.Thread(target=lambda: results.append(demo.call("web", url, 4000, threads=2)))
    caller.start()
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        report = next(p for p in demo.get("/api/status").json()["proxies"] if p["instance"] == victim)
        fresh = [p for instance, p in envoy_pids(demo) if instance == victim]
        return fresh not in ([], [pid]) and report["envoy_state"] == "ready"

    demo.wait(is_back, 2.0)
    caller.join(120)
    assert results[0]["by_status"] == {"200": 4000}
    demo.wait(lambda: all_in_sync(demo))


def envoy_pids(demo: Demo) -> list[tuple[str, int]]:
    """Every Envoy of the demo by instance."""
    reports = demo.get("/api/status").json()["proxies"]
    found = []
    for proxy in reports:
        record = demo.state / "run" / proxy["instance"] / "envoy.process"
        if record.exists():
            found.append((proxy["instance"], json.loads(record.read_text())["pid"]))
    return sorted(found)
