"""Calls each URL a number of times, each time on a new connection, and prints the seconds as JSON.

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


def main() -> None:
    """The command line: N URL…"""
    n_calls = int(sys.argv[1])
    sys.stdout.write(json.dumps([[seconds(url) for _ in range(n_calls)] for url in sys.argv[2:]]))


if __name__ == "__main__":
    main()
