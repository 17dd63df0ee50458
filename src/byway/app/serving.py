"""uvicorn inside a process that has its own way of ending."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from byway.agent.api import QuietServer


class HttpServer(QuietServer):
    """The admin API's server, with its bounds."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=256,
        )
        super().__init__(config)


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
