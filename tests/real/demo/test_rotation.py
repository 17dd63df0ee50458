"""Certificates are replaced while requests flow, and no request notices."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.demo.conftest import Demo, require_root

LIFE_S = 12
"""A minute and five in a user's trial, shortened here; the CA's least is 10 s."""

LOAD_S = 45
N_ROTATIONS = 5


@pytest.fixture
def short_lived(tmp_path: Any) -> Iterator[Demo]:
    """A demo whose leaf certificates live for seconds, under load."""
    require_root()
    running = Demo(tmp_path, "--rate", "40", "--certificate-life", f"{LIFE_S}s")
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(180)
def test_five_rotations_of_every_workload_cost_no_request(short_lived: Demo) -> None:
    log = short_lived.state / "control-plane.log"

    def issued() -> dict[str, int]:
        counts: dict[str, int] = {}
        for identity in re.findall(r"certificate issued.*?identity=(\S+)", log.read_text()):
            counts[identity] = counts.get(identity, 0) + 1
        return {identity: n for identity, n in counts.items() if "/ns/default/" in identity}

    calls: list[Any] = []
    done = threading.Event()

    def keep_calling() -> None:
        while not done.is_set():
            calls.append(short_lived.call("web", "http://link-service:8080/version", 200, threads=2)["by_status"])

    caller = threading.Thread(target=keep_calling)
    caller.start()
    try:
        short_lived.wait(lambda: min(issued().values()) > N_ROTATIONS, LOAD_S + 30)
    finally:
        done.set()
        caller.join()
    assert len(issued()) == 21
    assert all(status == {"200": 200} for status in calls), calls
    report = json.loads((short_lived.state / "load.json").read_text())
    assert report["requests"] > 50
    assert report["failures"] == 0, report
