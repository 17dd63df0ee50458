"""The demo's load: `python -m byway.demo.load --url URL [--rate RPS] [--for SECONDS] [--report FILE]`.

Open loop: requests begin at their own times, however slow the answers are; when all workers are busy, a request is
skipped and counted as skipped. Redirects are not followed, so nothing outside is ever called. The report is JSON: once
a second in a file (replaced whole, so a reader never sees half of one), and at the end on standard output.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.parse
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

from byway.base.errors import UsageError
from byway.demo.connections import Address, Connections
from byway.demo.latencies import Latencies
from byway.demo.traffic import Step, Traffic

_N_WORKERS: Final = 48
_TIMEOUT_S: Final = 30.0
_N_FAILURES_SHOWN: Final = 20
_MOST_LATE_S: Final = 1.0


class Tallies:
    """What came of the requests so far; safe to use from many threads."""

    def __init__(self, began: float) -> None:
        self._lock = threading.Lock()
        self._began = began
        self._latencies = Latencies()
        self._kinds: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._failures: deque[dict[str, Any]] = deque(maxlen=_N_FAILURES_SHOWN)
        self._n_failures = 0
        self._n_skipped = 0

    def add(self, kind: str, outcome: str, seconds: float, *, is_failure: bool, at: float) -> None:
        """Count one answer; `outcome` is its status, or the name of what went wrong."""
        with self._lock:
            self._kinds[kind] += 1
            self._statuses[outcome] += 1
            self._latencies.add(seconds)
            if is_failure:
                self._n_failures += 1
                self._failures.append({"after_s": round(at - self._began, 3), "kind": kind, "outcome": outcome})

    def skip(self) -> None:
        """Count a request that found no free worker."""
        with self._lock:
            self._n_skipped += 1

    def report(self, now: float) -> dict[str, Any]:
        """All of it."""
        with self._lock:
            seconds = max(now - self._began, 1e-9)
            n_requests = self._kinds.total()
            return {
                "requests": n_requests,
                "failures": self._n_failures,
                "skipped": self._n_skipped,
                "seconds": round(seconds, 3),
                "rate": round(n_requests / seconds, 2),
                "p50_ms": self._latencies.percentile_ms(0.5),
                "p99_ms": self._latencies.percentile_ms(0.99),
                "by_kind": dict(sorted(self._kinds.items())),
                "by_status": dict(sorted(self._statuses.items())),
                "last_failures": list(self._failures),
            }


class Load:
    """Workers that send what the traffic says to one address."""

    def __init__(self, url: str, n_workers: int = _N_WORKERS) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"the load needs an http:// URL with a host, not {url!r}")
        self._address = Address(parts.hostname, parts.port or 80)
        self._connections = Connections()
        self._traffic = Traffic()
        self._steps: queue.Queue[Step | None] = queue.Queue(maxsize=n_workers)
        self._idle = threading.Semaphore(n_workers)
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(n_workers)]
        self.tallies = Tallies(time.monotonic())

    def run(self, rate: float, ended: threading.Event, for_s: float | None, report: Path | None) -> None:
        """Send `rate` requests a second until `ended` is set or the time is over, then wait for the last answers."""
        for worker in self._workers:
            worker.start()
        began = due = time.monotonic()
        shown = began
        while not ended.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            if for_s is not None and now - began >= for_s:
                break
            self._begin()
            due = max(due + 1 / rate, now - _MOST_LATE_S)  # after a pause (a suspended laptop) there is no flood
            if report is not None and now - shown >= 1:
                shown = now
                write(report, self.tallies.report(now))
        self._finish()
        if report is not None:
            write(report, self.tallies.report(time.monotonic()))

    def _begin(self) -> None:
        if self._idle.acquire(blocking=False):
            self._steps.put_nowait(self._traffic.step())
        else:
            self.tallies.skip()

    def _finish(self) -> None:
        bound = time.monotonic() + _TIMEOUT_S
        for _ in self._workers:
            self._idle.acquire(timeout=max(0.0, bound - time.monotonic()))
        self._connections.close()

    def _work(self) -> None:
        while step := self._steps.get():
            try:
                self._send(step)
            finally:
                self._idle.release()

    def _send(self, step: Step) -> None:
        began = time.monotonic()
        is_failure = True
        try:
            reply = self._connections.exchange(
                self._address, step.method, step.path, step.headers, step.body, _TIMEOUT_S
            )
            outcome = str(reply.status)
            if reply.status == step.expected:
                step.learn(reply.content)
                is_failure = False
            elif reply.status in (401, 404):
                step.forget()
        except (OSError, http.client.HTTPException) as fault:
            outcome = type(fault).__name__
        except (ValueError, KeyError, TypeError):
            outcome = "garbled answer"
        ended = time.monotonic()
        self.tallies.add(step.kind, outcome, ended - began, is_failure=is_failure, at=ended)


def write(path: Path, report: dict[str, Any]) -> None:
    """Replace the file at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(report) + "\n")
    draft.replace(path)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m byway.demo.load", description="A load for the demo's fleet.")
    parser.add_argument("--url", required=True, help="the ingress gateway, such as http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second (default: 20)")
    parser.add_argument("--for", type=float, dest="for_s", metavar="SECONDS", help="default: until SIGTERM")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there once a second")
    found = parser.parse_args(words)
    if not 0 < found.rate <= 2_000:
        parser.error("--rate is above 0 and at most 2000")
    return found


def main(words: list[str]) -> int:
    """Run the load, and print the report at the end."""
    asked = _arguments(words)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        load = Load(asked.url)
    except UsageError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    load.run(asked.rate, ended, asked.for_s, asked.report)
    sys.stdout.write(json.dumps(load.tallies.report(time.monotonic())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
