"""Calls a URL from two connections, and from a new one each time, N times or until its input ends; prints what came of it.

    python caller.py URL N

Standard library only: it runs inside a workload's namespace.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import urllib.parse
from collections import Counter


class Caller:
    """One thread; `is_keeping` the connection, or opening one for each call."""

    def __init__(self, url: str, *, is_keeping: bool) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._is_keeping = is_keeping
        self._connection: http.client.HTTPConnection | None = None

    def status(self) -> str:
        """The status of one call, or the failure's name."""
        connection = self._connection or http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=10
        )
        self._connection = None
        try:
            connection.request("GET", self._url.path or "/")
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        if self._is_keeping:
            self._connection = connection
        else:
            connection.close()
        return str(response.status)


def main() -> None:
    """Calls and prints."""
    url, wanted = sys.argv[1], int(sys.argv[2])
    statuses: Counter[str] = Counter()
    ended = threading.Event()
    statuses[Caller(url, is_keeping=False).status()] += 1
    print("calling", flush=True)

    def run(caller: Caller) -> None:
        while not ended.is_set() and (not wanted or statuses.total() < wanted):
            statuses[caller.status()] += 1

    threads = [threading.Thread(target=run, args=(Caller(url, is_keeping=keeps),)) for keeps in (True, True, False)]
    for thread in threads:
        thread.start()
    if not wanted:
        sys.stdin.read()
        ended.set()
    for thread in threads:
        thread.join()
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()
