"""The load generator and its traffic."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from byway.base.errors import UsageError
from byway.demo.load import Load
from byway.demo.traffic import MIX, Step, Traffic


def answered(step: Step, codes: list[str]) -> None:
    """Let the step learn what a working shortener would answer."""
    if step.kind == "create":
        codes.append(f"code{len(codes)}")
        step.learn(json.dumps({"code": codes[-1]}).encode())
    if step.kind == "sign-in":
        step.learn(b'{"token": "t"}')


def test_the_mix_is_kept_once_a_link_is_known() -> None:
    traffic, codes = Traffic(), list[str]()
    kinds = []
    for _ in range(len(MIX) * 3):
        step = traffic.step()
        kinds.append(step.kind)
        answered(step, codes)
    assert tuple(kinds) == MIX * 3


def test_without_a_link_one_is_made_and_a_lost_one_is_forgotten() -> None:
    traffic, codes = Traffic(), list[str]()
    first = traffic.step()
    assert first.kind == traffic.step().kind == "create"
    answered(first, codes)
    followed = traffic.step()
    assert (followed.path, followed.expected) == ("/code0", 302)
    followed.forget()
    assert traffic.step().kind == "create"


def test_it_remembers_no_more_than_its_limit() -> None:
    traffic, codes = Traffic(), list[str]()
    for _ in range(len(MIX) * 300):
        answered(traffic.step(), codes)
    paths = {step.path for step in (traffic.step() for _ in range(5_000)) if step.kind == "follow"}
    assert len(codes) > 1000 >= len(paths)


def test_what_goes_wrong_is_counted_and_shown(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        load = Load(f"http://127.0.0.1:{unused.getsockname()[1]}", n_workers=2)
        load.run(200, threading.Event(), 0.2, tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["requests"] == report["failures"] > 0
    assert report["by_status"] == {"ConnectionRefusedError": report["requests"]}
    assert report["last_failures"][0]["kind"] == "create"


def test_slow_answers_skip_requests_instead_of_piling_them_up() -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        load = Load(f"http://127.0.0.1:{silent.getsockname()[1]}", n_workers=3)
        running = threading.Thread(target=load.run, args=(500, ended, None, None))
        running.start()
        accepted = [silent.accept()[0] for _ in range(3)]
        while load.tallies.report(time.monotonic())["skipped"] == 0 and running.is_alive():
            ended.wait(0.01)
        ended.set()
        for connection in accepted:
            connection.close()
        running.join(30)
    report = load.tallies.report(time.monotonic())
    assert (report["requests"], report["skipped"] > 0) == (3, True)
    assert sum(report["by_status"].values()) == report["failures"] == 3


def test_sigterm_ends_it_with_a_report(fleet: Any, tmp_path: Path) -> None:
    url = f"http://{fleet.instances['web'][0]}"
    command = [sys.executable, "-P", "-m", "byway.demo.load", "--url", url, "--rate", "50", "--report", "report.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ)) as started:
        assert started.stdout is not None
        assert not select.select([started.stdout], [], [], 1.5)[0], "it says nothing while it runs"
        started.send_signal(signal.SIGTERM)
        report = json.loads(started.stdout.read())
        assert started.wait(30) == 0
    assert report["failures"] == 0
    assert report["requests"] > 20


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:8080", "http://"])
def test_only_an_http_url_is_taken(url: str) -> None:
    with pytest.raises(UsageError):
        Load(url)
