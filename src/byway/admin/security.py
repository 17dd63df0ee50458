"""The door of the admin API: who may come in, and with how much.

A plain ASGI layer before all routes. On a loopback listener every request must name a loopback host (a web page that
rebinds its own name to 127.0.0.1 does not), reading is free and writing needs the bearer token; on any other listener
everything that tells of the mesh's configuration needs the token, too. No CORS header is ever sent, so no web page can
read an answer.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from typing import Final

import msgspec
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT: Final = 8 * 2**20
BODY_WAIT_S: Final = 15.0
ANSWER_WAIT_S: Final = 120.0
IN_FLIGHT_LIMIT: Final = 64

HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Answered however much else is asked: a busy control plane is a healthy one."""

_OPEN_PATHS: Final = HEALTH_PATHS | {"/", "/version", "/metrics"}


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The rules at one listener. `token` "" refuses every request that needs one."""

    token: str
    is_loopback: bool = True


class _RefusedError(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Doorkeeper:
    """The ASGI layer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._n_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._n_in_flight += 1
        try:
            await self._admit(scope, receive, send)
        finally:
            self._n_in_flight -= 1

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if self._n_in_flight > IN_FLIGHT_LIMIT and scope["path"] not in HEALTH_PATHS:
                raise _RefusedError(503, "too many requests at once, try again")
            check(self._door, scope)
            body = await _body(scope, receive)
            async with asyncio.timeout(ANSWER_WAIT_S):
                await self._app(scope, _replay(body, receive), watched)
        except _RefusedError as refused:
            await _refusal(refused.status, refused.reason)(scope, receive, send)
        except TimeoutError:
            if not started:
                await _refusal(504, "the answer took too long")(scope, receive, send)


def _refusal(status: int, reason: str) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": reason}, status_code=status, headers=headers)


def check(door: Door, scope: Scope) -> None:
    """Raises where the request may not come in."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    if door.is_loopback:
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not is_loopback_host(hosts[0].decode("latin-1")):
            raise _RefusedError(403, "the Host header must name this machine (localhost or 127.0.0.1)")
    is_read = scope["method"] in ("GET", "HEAD")
    if is_read and (door.is_loopback or scope["path"] in _OPEN_PATHS):
        return
    if not _has_token(door, headers.get(b"authorization", [])):
        raise _RefusedError(401, "this needs 'Authorization: Bearer <token>' (the token is in the state directory)")


def _has_token(door: Door, given: list[bytes]) -> bool:
    if len(given) != 1 or not door.token:
        return False
    scheme, _, token = given[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), door.token.encode())


def is_loopback_host(host: str) -> bool:
    """Whether a Host header (with or without a port) names this machine by a name that nobody else can give."""
    name, separator, port = host.rpartition(":")
    if not separator or not port.isascii() or (port and not port.isdigit()):
        name = host
    name = name.strip().lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


async def _body(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] in ("GET", "HEAD"):
        return b""
    parts: list[bytes] = []
    n_bytes = 0
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _RefusedError(400, "the request ended early")
                parts.append(message.get("body", b""))
                n_bytes += len(parts[-1])
                if n_bytes > BODY_LIMIT:
                    raise _RefusedError(413, f"the body may have at most {BODY_LIMIT // 2**20} MiB")
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as late:
        raise _RefusedError(408, "the body took too long to arrive") from late


def _replay(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body at once, then whatever the connection does."""
    is_given = False

    async def replayed() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
