"""Calls a URL many times, as an application would, and prints what came of it as JSON.

    python caller.py URL N [CONCURRENCY] [HEADER:VALUE …]

Standard library only: it runs inside a workload's namespace.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import sys
import threading
import time
import urllib.parse
from collections import Counter


class Caller:
    """One thread's connection."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._headers = {"Host": self._url.netloc, **headers}
        self._proxy = urllib.parse.urlsplit(os.environ.get("http_proxy", ""))
        self._connection: http.client.HTTPConnection | None = None

    def call(self) -> tuple[str, str]:
        """The status (or the failure's name) and the version that answered."""
        try:
            response = self._response()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            return type(error).__name__, ""
        is_json = response.status == 200 and body[:1] == b"{"
        return str(response.status), json.loads(body).get("version", "") if is_json else ""

    def _response(self) -> http.client.HTTPResponse:
        server = self._proxy if self._proxy.hostname else self._url
        if self._connection is None:
            self._connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=30)
        target = self._url.geturl() if self._proxy.hostname else f"{self._url.path or '/'}?{self._url.query}"
        self._connection.request("GET", target, headers=self._headers)
        return self._connection.getresponse()


def main() -> None:
    """Makes the calls and prints the result."""
    url, n_calls, *rest = sys.argv[1:]
    n_threads = int(rest[0]) if rest else 1
    headers = dict(pair.split(":", 1) for pair in rest[1:])
    work: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(int(n_calls)):
        work.put(None)
    results: list[tuple[str, str, float]] = []

    def run() -> None:
        caller = Caller(url, headers)
        while True:
            try:
                work.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            status, version = caller.call()
            results.append((status, version, time.monotonic() - began))

    threads = [threading.Thread(target=run) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {
                "by_status": Counter(r[0] for r in results),
                "by_version": Counter(r[1] for r in results),
                "seconds": [round(r[2], 4) for r in results],
            }
        )
    )


if __name__ == "__main__":
    main()
