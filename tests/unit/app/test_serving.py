"""The admin API's server within its bounds: so many connections, and health beyond them."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx
from starlette.responses import PlainTextResponse

from byway.app.serving import HttpServer

PATHS = ("/healthz", "/readyz", "/api/status", "/metrics")


async def test_health_is_answered_when_there_are_too_many_connections() -> None:
    """300 connections that say nothing: reads are turned away, health checks are not; without them all are answered."""
    server = HttpServer(PlainTextResponse("here"), "127.0.0.1", 0)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    async with contextlib.AsyncExitStack() as idle:
        for _ in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            idle.callback(writer.close)
        assert await _answered(port) == {"/healthz": 200, "/readyz": 200, "/api/status": 503, "/metrics": 503}
    async with asyncio.timeout(5):
        while server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)
    assert await _answered(port) == {"/healthz": 200, "/readyz": 200, "/api/status": 200, "/metrics": 200}
    server.should_exit = True
    await serving
    listening.close()


async def test_it_says_when_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = asyncio.Event()
        server = HttpServer(PlainTextResponse("here"), "127.0.0.1", 0, told.set)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await asyncio.wait_for(told.wait(), 5)
        server.should_exit = True
        await serving


async def _answered(port: int) -> dict[str, int]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as caller:
        return {path: (await caller.get(path)).status_code for path in PATHS}
