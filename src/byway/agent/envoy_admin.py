"""Envoy's admin interface, spoken over its Unix socket; nobody else can reach it."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Final

import httpx
import msgspec

from byway.agent.bootstrap import READINESS
from byway.agent.layout import SocketPath
from byway.base.errors import FaultError

_LIMIT_S: Final = 5.0
_ANSWER_LIMIT_BYTES: Final = 64 * 1024 * 1024
_POLL_S: Final = 0.05
READABLE: Final = frozenset(
    {
        "/certs", "/clusters", "/config_dump", "/init_dump", "/listeners", "/memory", "/ready", "/runtime", "/server_info",
        "/stats", "/stats/prometheus",
    }
)  # fmt: skip
"""What an operator may ask an Envoy for; nothing among them changes it."""


class EnvoyUnreachable(FaultError):
    """Envoy does not answer on its admin socket."""


class AdminAnswer(msgspec.Struct, frozen=True):
    """What Envoy answered."""

    status: int
    body: bytes


def is_readable(path: str) -> bool:
    """Whether `path` (with its query) is one that an operator may ask for."""
    bare, _, query = path.partition("?")
    return bare in READABLE and len(query) <= 512 and query.isprintable() and " " not in query


class EnvoyAdmin:
    """The admin interface of one Envoy."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def answer(self, method: str, path: str, *, timeout_s: float = _LIMIT_S) -> AdminAnswer:
        """One request's answer; raises EnvoyUnreachable."""
        try:
            dialled = SocketPath(self._socket)
        except FileNotFoundError as error:
            raise EnvoyUnreachable(f"no Envoy at {self._socket}") from error
        transport = httpx.AsyncHTTPTransport(uds=dialled.text, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(transport=transport, timeout=timeout_s) as client,
                client.stream(method, f"http://envoy{path}") as response,
            ):
                return AdminAnswer(response.status_code, await _bounded(response))
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise EnvoyUnreachable(f"Envoy does not answer at {self._socket}: {type(error).__name__}") from error
        finally:
            dialled.close()

    async def is_live(self) -> bool:
        """Whether Envoy has its first configuration and serves."""
        try:
            return (await self.answer("GET", "/ready", timeout_s=1)).status == 200
        except EnvoyUnreachable:
            return False

    async def drain(self) -> None:
        """Tells peers to go elsewhere, and returns when no connection is left; the caller bounds it."""
        try:
            await self.answer("POST", "/healthcheck/fail")
            await self.answer("POST", "/drain_listeners?graceful&skip_exit")
            while await self._n_connections() > 0:  # noqa: ASYNC110 - Envoy is another process, it tells by being asked
                await asyncio.sleep(_POLL_S)
        except EnvoyUnreachable:
            return  # it is gone already: nothing is left to drain

    async def _n_connections(self) -> int:
        path = "/stats?format=json&type=Gauges&filter=^listener.*downstream_cx_active$"
        stats = json.loads((await self.answer("GET", path)).body).get("stats", [])
        own = ("listener.admin.", f"listener.{READINESS}.")
        return sum(int(s.get("value", 0)) for s in stats if not s.get("name", "").startswith(own))


async def _bounded(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    async for part in response.aiter_bytes():
        n_bytes += len(part)
        if n_bytes > _ANSWER_LIMIT_BYTES:
            raise EnvoyUnreachable(f"Envoy's answer exceeds {_ANSWER_LIMIT_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
