"""Kept-alive HTTP/1.1 connections, directly or through a forward proxy.

A connection that the other side closed while it lay idle is noticed before it is used again; where that race is lost, a
request that may be repeated (GET, HEAD, PUT) is sent once more on a new connection.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Mapping
from threading import Lock
from typing import Final, NamedTuple

MOST_ANSWER_BYTES: Final = 1 << 20
_MOST_IDLE_CONNECTIONS: Final = 16
_MOST_IDLE_S: Final = 30.0
_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT"})


class Address(NamedTuple):
    """Where a TCP connection leads."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class _Idle(NamedTuple):
    connection: http.client.HTTPConnection
    since: float


class Connections:
    """A pool of connections to any number of addresses; safe to use from many threads."""

    def __init__(self, proxy: Address | None = None) -> None:
        self._proxy = proxy
        self._idle: dict[Address, list[_Idle]] = {}
        self._lock = Lock()

    def exchange(
        self, address: Address, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """Send a request and read its answer; OSError or HTTPException where there is none."""
        # RFC 9112, 3.2.2: a request to a proxy carries the whole address; http.client derives the Host header from it.
        target = f"http://{address}{path}" if self._proxy else path
        place = self._proxy or address
        kept = self._kept(place)
        if kept is not None:
            try:
                return self._sent(kept, place, method, target, headers, body, timeout_s)
            except (ConnectionError, http.client.RemoteDisconnected):
                if method not in _REPEATABLE:
                    raise
        fresh = http.client.HTTPConnection(place.host, place.port, timeout=timeout_s)
        return self._sent(fresh, place, method, target, headers, body, timeout_s)

    def close(self) -> None:
        """Close what lies idle."""
        with self._lock:
            idle = [entry for entries in self._idle.values() for entry in entries]
            self._idle.clear()
        for entry in idle:
            entry.connection.close()

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        place: Address,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Reply:
        is_kept = False
        try:
            if isinstance(connection.sock, socket.socket):
                connection.sock.settimeout(timeout_s)
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            content = response.read(MOST_ANSWER_BYTES + 1)
            if len(content) > MOST_ANSWER_BYTES:
                raise http.client.HTTPException(f"the answer is longer than {MOST_ANSWER_BYTES} bytes")
            is_kept = response.isclosed() and not response.will_close
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        finally:
            if not (is_kept and self._keep(connection, place)):
                connection.close()

    def _kept(self, place: Address) -> http.client.HTTPConnection | None:
        """An idle connection that is still open."""
        while True:
            with self._lock:
                entries = self._idle.get(place)
                entry = entries.pop() if entries else None
            if entry is None:
                return None
            if time.monotonic() - entry.since < _MOST_IDLE_S and not _is_closed(entry.connection):
                return entry.connection
            entry.connection.close()

    def _keep(self, connection: http.client.HTTPConnection, place: Address) -> bool:
        with self._lock:
            entries = self._idle.setdefault(place, [])
            if len(entries) >= _MOST_IDLE_CONNECTIONS:
                return False
            entries.append(_Idle(connection, time.monotonic()))
            return True


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side has closed: an idle connection has nothing to read unless it ended."""
    if not isinstance(connection.sock, socket.socket):
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
