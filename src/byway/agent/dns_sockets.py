"""The DNS server's sockets: the agent owns them and hands them on, so that what is asked while no server runs waits in
them for the next one.

In the server they are descriptors 3, 4, …: for each namespace that it serves, in the order of its duty, one for
datagrams and one for streams. They live as long as one of the two processes does: an agent that was started anew takes
them back out of the server that it adopts. Where the system refuses that (it is the right to trace a process), the next
server gets fresh ones.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from byway.agent.interception.namespaces import inside

Pair = tuple[socket.socket, socket.socket]  # datagrams, streams

_FIRST: Final = 3
_BACKLOG: Final = 256
_ADDRESS: Final = "127.0.0.1"
_PIDFD_GETFD: Final = 438  # the same on every architecture


def opened(namespace: Path, port: int) -> Pair:
    """Both sockets on loopback in a network namespace; from now on what is asked waits in them."""
    return inside(namespace, lambda: _bound(port))


def inherited(n_namespaces: int) -> list[Pair]:
    """In the server: what its agent has handed on."""
    numbers = range(_FIRST, _FIRST + 2 * n_namespaces, 2)
    return [(socket.socket(fileno=number), socket.socket(fileno=number + 1)) for number in numbers]


class DnsSockets:
    """The agent's hold on the sockets of its DNS server."""

    def __init__(self, namespaces: Sequence[str], port: int) -> None:
        self._namespaces = namespaces
        self._port = port
        self._pairs: list[Pair] = []

    def descriptors(self) -> tuple[int, ...]:
        """What the server is to inherit; opened where there is nothing yet."""
        if not self._pairs:
            self._pairs = [opened(Path(namespace), self._port) for namespace in self._namespaces]
        return tuple(end.fileno() for pair in self._pairs for end in pair)

    def take_back(self, pidfd: int) -> bool:
        """Takes the sockets out of a living server of the same duty; whether that was possible."""
        taken: list[socket.socket] = []
        try:
            for number in range(_FIRST, _FIRST + 2 * len(self._namespaces)):
                taken.append(end := _taken(pidfd, number))
                if end.getsockname() != (_ADDRESS, self._port):
                    raise OSError(f"descriptor {number} is another socket")
        except OSError:
            for end in taken:
                end.close()
            return False
        self._pairs = list(zip(taken[::2], taken[1::2], strict=True))
        return True

    def close(self) -> None:
        """Lets them go; the namespaces can be removed."""
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs = []


def _bound(port: int) -> Pair:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((_ADDRESS, port))
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    streams.bind((_ADDRESS, port))
    streams.listen(_BACKLOG)
    return datagrams, streams


def _taken(pidfd: int, number: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return socket.socket(fileno=fd)
