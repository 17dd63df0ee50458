"""Calls each URL a number of times, each time on a new connection, and prints the seconds as JSON; with `--kept`, one URL
on one connection.

Run inside a workload's namespace; the name is looked up before the clock starts, since a first look-up is not what is
measured. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
import urllib.parse


def seconds(url: str) -> float:
    """How long one call takes, connection included."""
    parts = urllib.parse.urlsplit(url)
    address = socket.gethostbyname(parts.hostname or "")
    connection = http.client.HTTPConnection(address, parts.port, timeout=20)
    began = time.perf_counter()
    connection.request("GET", parts.path, headers={"Host": parts.netloc})
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - began
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{url} was answered {answer.status}")
    return took


def keep_calling(n_calls: int, url: str) -> None:
    """All calls on one connection."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    for _ in range(n_calls):
        connection.request("GET", parts.path, headers={"Host": parts.netloc})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{url} was answered {answer.status}")
    connection.close()


def main() -> None:
    """The command line: N URL…, or --kept N URL"""
    if sys.argv[1] == "--kept":
        keep_calling(int(sys.argv[2]), sys.argv[3])
        return
    n_calls = int(sys.argv[1])
    sys.stdout.write(json.dumps([[seconds(url) for _ in range(n_calls)] for url in sys.argv[2:]]))


if __name__ == "__main__":
    main()
