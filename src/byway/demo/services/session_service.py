"""session-service: who is signed in. A session lives for an hour; an empty token is the guest's."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer
from byway.demo.shelf import Shelf

_LIFE_S: Final = 3_600


class _Session(NamedTuple):
    user: str
    ends: float


class SessionService:
    """Sessions by token. Tokens travel in bodies: a path would be seen in every trace."""

    def __init__(self) -> None:
        self._sessions: Shelf[_Session] = Shelf(10_000)

    def routes(self) -> tuple[Route, ...]:
        """Begin a session, find whose a token is."""
        return (Route("POST", "/sessions", self._begun), Route("POST", "/lookups", self._found))

    def _begun(self, request: Request) -> Answer:
        import secrets  # of the twenty, only this one pays for it

        token = secrets.token_urlsafe(24)
        self._sessions.put(token, _Session(request.text("user"), time.monotonic() + _LIFE_S))
        return json_answer({"token": token}, 201)

    def _found(self, request: Request) -> Answer:
        token = request.body().get("token")
        if not token:
            return json_answer({"user": "guest"})
        session = self._sessions.get(token) if isinstance(token, str) else None
        if session is None or session.ends < time.monotonic():
            raise DeclinedError(404, "no such session")
        return json_answer({"user": session.user})


def service() -> SessionService:
    """A fresh session-service."""
    return SessionService()
