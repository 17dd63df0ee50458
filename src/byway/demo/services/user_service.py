"""user-service: who the users are. `guest`, for those who did not sign in, is always there."""

from __future__ import annotations

import re
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer
from byway.demo.shelf import Shelf

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")


class UserService:
    """Users by name."""

    def __init__(self) -> None:
        self._users: Shelf[dict[str, str]] = Shelf(10_000)

    def routes(self) -> tuple[Route, ...]:
        """Enter a user, find a user."""
        return (Route("PUT", "/users/{name}", self._entered), Route("GET", "/users/{name}", self._found))

    def _entered(self, request: Request) -> Answer:
        name = request.parts["name"]
        if not _NAME.fullmatch(name):
            raise DeclinedError(400, "a user's name is of small letters, digits and hyphens")
        self._users.put(name, _user(name))
        return json_answer(_user(name))

    def _found(self, request: Request) -> Answer:
        name = request.parts["name"]
        user = _user(name) if name == "guest" else self._users.get(name)
        if user is None:
            raise DeclinedError(404, "no such user")
        return json_answer(user)


def _user(name: str) -> dict[str, str]:
    return {"name": name, "greeting": f"Dear {name.replace('-', ' ').title()}"}


def service() -> UserService:
    """A fresh user-service."""
    return UserService()
