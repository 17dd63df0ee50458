"""uvicorn inside a process that has its own way of ending."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from byway.admin.security import HEALTH_PATHS
from byway.agent.api import QuietServer

_CONNECTION_LIMIT: Final = 256
_TOO_MUCH: Final = JSONResponse(
    {"error": "too many connections at once, try again"}, status_code=503, headers={"connection": "close"}
)


class HttpServer(QuietServer):
    """The admin API's server, with its bounds; what asks for its health is answered beyond them."""

    def __init__(self, app: ASGIApp, host: str, port: int, is_up: Callable[[], None] = lambda: None) -> None:
        """`is_up` is called once it listens."""
        self._is_up = is_up

        async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
            is_too_much = len(self.server_state.connections) > _CONNECTION_LIMIT
            is_refused = is_too_much and scope["type"] == "http" and scope["path"] not in HEALTH_PATHS
            await (_TOO_MUCH if is_refused else app)(scope, receive, send)

        config = uvicorn.Config(
            bounded,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets)
        if self.started:
            self._is_up()


@contextlib.contextmanager
def ended_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Sets `stop` at SIGINT or SIGTERM; a second one finds the default again and ends the process at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def end() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def owner_watched(pid: int, stop: asyncio.Event) -> Iterator[None]:
    """Sets `stop` when process `pid` is gone, which it may be already; 0 is nobody."""
    if not pid:
        yield
        return
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        stop.set()
        yield
        return

    def gone() -> None:
        loop.remove_reader(pidfd)
        stop.set()

    loop.add_reader(pidfd, gone)
    try:
        yield
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def address_parts(address: str) -> tuple[str, int]:
    """The host and the port in HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
