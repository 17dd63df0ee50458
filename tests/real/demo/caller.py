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


def main() -> None:
    url = urllib.parse.urlsplit(sys.argv[1])
    n_calls = int(sys.argv[2])
    n_threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    headers = dict(pair.split(":", 1) for pair in sys.argv[4:])
    proxy = urllib.parse.urlsplit(os.environ.get("http_proxy", ""))
    work: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(n_calls):
        work.put(number)
    results: list[tuple[str, str, float, float]] = []

    def run() -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            try:
                work.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            try:
                if connection is None:
                    host = (proxy.hostname, proxy.port) if proxy.hostname else (url.hostname, url.port)
                    connection = http.client.HTTPConnection(host[0] or "", host[1], timeout=30)
                target = url.geturl() if proxy.hostname else (url.path or "/")
                connection.request("GET", target, headers={"Host": url.netloc, **headers})
                response = connection.getresponse()
                body = response.read()
                status = str(response.status)
                version = json.loads(body).get("version", "") if status == "200" and body[:1] == b"{" else ""
            except OSError as error:
                status, version, connection = type(error).__name__, "", None
            except http.client.HTTPException as error:
                status, version, connection = type(error).__name__, "", None
            results.append((status, version, time.monotonic() - began, time.time()))

    threads = [threading.Thread(target=run) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {
                "by_status": {s: sum(r[0] == s for r in results) for s in {r[0] for r in results}},
                "by_version": {v: sum(r[1] == v for r in results) for v in {r[1] for r in results}},
                "seconds": [round(r[2], 4) for r in results],
            }
        )
    )


if __name__ == "__main__":
    main()
