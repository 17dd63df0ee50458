"""The agent's HTTP API on a Unix socket, for the command line of the same host: its owner alone can reach it.

GET  /workloads                     what runs here, and how it fares
GET  /workloads/<instance>/envoy    what its Envoy answers to a read of ?path=/config_dump
POST /workloads/<instance>/restart  restarts its application (its Envoy, where it has no application)
POST /stop                          ends everything and removes it; with ?drain=true every Envoy drains first
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from byway.agent.envoy_admin import AdminAnswer, is_readable
from byway.agent.frames import WorkloadReport
from byway.agent.layout import SocketPath
from byway.base.errors import BywayError, UsageError


class Host(Protocol):
    """What the API speaks for."""

    def reports(self) -> tuple[WorkloadReport, ...]:
        """The state of every workload."""

    async def envoy_answer(self, instance: str, path: str) -> AdminAnswer:
        """A read of an Envoy's admin interface."""

    def restart(self, instance: str) -> None:
        """Restarts a workload; raises UsageError for an unknown one."""

    def request_stop(self, *, is_drained: bool = False) -> None:
        """Begins to end everything."""


class QuietServer(uvicorn.Server):
    """uvicorn, but signals stay with the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield


def application(host: Host) -> Starlette:
    """The API as an ASGI application."""

    async def workloads(_: Request) -> Response:
        return _json(host.reports())

    async def envoy(request: Request) -> Response:
        path = request.query_params.get("path", "/config_dump")
        if not is_readable(path):
            raise UsageError(f"{path} is nothing that an agent answers")
        answer = await host.envoy_answer(request.path_params["instance"], path)
        return Response(answer.body, answer.status)

    async def restart(request: Request) -> Response:
        host.restart(request.path_params["instance"])
        return Response(status_code=202)

    async def stop(request: Request) -> Response:
        host.request_stop(is_drained=request.query_params.get("drain") == "true")
        return Response(status_code=202)

    return Starlette(
        routes=[
            Route("/workloads", workloads, methods=["GET"]),
            Route("/workloads/{instance}/envoy", _told(envoy), methods=["GET"]),
            Route("/workloads/{instance}/restart", _told(restart), methods=["POST"]),
            Route("/stop", stop, methods=["POST"]),
        ]
    )


async def serve(host: Host, path: Path) -> None:
    """Serves the API at `path` until cancelled."""
    listening = _listening(path)
    config = uvicorn.Config(application(host), log_config=None, access_log=False, lifespan="off", ws="none")
    try:
        await QuietServer(config).serve(sockets=[listening])
    finally:
        listening.close()
        _remove(path)


def _listening(path: Path) -> socket.socket:
    """A socket at `path`, in place of one that a former agent left; only its owner can open it."""
    _remove(path)
    bound = SocketPath(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        listening.bind(bound.text)
    finally:
        os.umask(former)
        bound.close()
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, with errors told as JSON: 404 for what the caller can mend, 503 for what failed here."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BywayError as error:
            return _json({"error": str(error)}, 404 if isinstance(error, UsageError) else 503)

    return told


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
