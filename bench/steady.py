"""Calls at a steady rate until its input ends: `python steady.py RATE CALL…`; prints a line for each call that was made.

A call is `kept URL` (one connection for all), `new URL` (a connection each), or `tcp HOST:PORT`, in one word with an equals
sign: `kept=http://back:9000/`. Each has a thread of its own and RATE calls a second. A line: the call, when it began and
ended by the monotonic clock that all processes share, the status, and what was said. Standard library only: it runs inside
a workload's namespace.
"""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
import urllib.parse

_LIMIT_S = 10.0


class Caller(threading.Thread):
    """One call, again and again. A call that takes long delays the next: never is there more than one at a time."""

    def __init__(self, call: str, rate: float, ended: threading.Event) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._call = call
        self._kind, _, target = call.partition("=")
        self._target = urllib.parse.urlsplit(target if "://" in target else f"//{target}")
        self._period_s = 1 / rate
        self._ended = ended
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Until told to end."""
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            try:
                status, said = self._spoken() if self._kind == "tcp" else self._answered()
            except (OSError, http.client.HTTPException) as error:
                status, said = type(error).__name__, str(error)
            words = (self._call, f"{began:.4f}", f"{time.monotonic():.4f}", status, said.replace("\n", " ")[:200])
            self.lines.append("\t".join(words))
            due = max(due + self._period_s, began)

    def _answered(self) -> tuple[str, str]:
        host, port = self._target.hostname or "", self._target.port or 80
        connection = self._connection or http.client.HTTPConnection(host, port, timeout=_LIMIT_S)
        self._connection = None
        connection.request("GET", self._target.path or "/", headers={"x-turn": str(len(self.lines) % 2)})
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
        if self._kind == "kept" and not answer.will_close:
            self._connection = connection
        else:
            connection.close()
        return str(answer.status), said

    def _spoken(self) -> tuple[str, str]:
        with socket.create_connection((self._target.hostname, self._target.port), _LIMIT_S) as connection:
            connection.sendall(b"hello")
            said = connection.recv(100).decode(errors="replace")
        return ("200" if said else "closed"), said


def main() -> None:
    """Calls, and prints all at the end."""
    ended = threading.Event()
    callers = [Caller(call, float(sys.argv[1]), ended) for call in sys.argv[2:]]
    for caller in callers:
        caller.start()
    sys.stdin.read()
    ended.set()
    for caller in callers:
        caller.join()
    sys.stdout.write("".join(f"{line}\n" for caller in callers for line in caller.lines))


if __name__ == "__main__":
    main()
