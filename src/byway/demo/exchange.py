"""One request to a service and its answer, without sockets: what the services' own code sees."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from byway.base.errors import UsageError
from byway.demo.connections import Reply
from byway.demo.peers import PASSED_ON, DependencyError, Peers


class DeclinedError(UsageError):
    """The caller asked for what it cannot have; `status` is a 4xx."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Identity(NamedTuple):
    """Who answers: the body of `/version`."""

    service: str
    version: str
    instance: str


class Answer(NamedTuple):
    """What a service answers."""

    status: int
    content: bytes = b""
    content_type: str = "application/json"
    location: str = ""


class Request:
    """A request with its parts, and the way to call other services on its behalf."""

    def __init__(
        self,
        peers: Peers,
        identity: Identity,
        headers: Mapping[str, str],
        client: str = "",
        parts: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> None:
        self.identity = identity
        self.headers = headers
        self.client = client
        self.parts = parts or {}
        self.query = query or {}
        self._content = content
        self._peers = peers
        self._passed_on = {name: headers[name] for name in PASSED_ON if name in headers}

    def body(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        try:
            body = json.loads(self._content or b"{}")
        except ValueError as fault:
            raise DeclinedError(400, "the body is not JSON") from fault
        if not isinstance(body, dict):
            raise DeclinedError(400, "the body is not a JSON object")
        return body

    def text(self, name: str) -> str:
        """The body's field `name`, which must be a text."""
        value = self.body().get(name)
        if not isinstance(value, str) or not value:
            raise DeclinedError(400, f"the body needs the field {name}, a text")
        return value

    def reply(
        self, callee: str, method: str, path: str, body: object = None, *, expected: Collection[int] = ()
    ) -> Reply:
        """The answer of another service: 2xx or `expected`."""
        return self._peers.call(callee, method, path, body, self._passed_on, expected)

    def call(self, callee: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The JSON object that another service answers with 2xx."""
        return fields(callee, self.reply(callee, method, path, body))


def fields(callee: str, reply: Reply) -> dict[str, Any]:
    """The JSON object in a reply."""
    try:
        found = json.loads(reply.content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DependencyError(callee, 502, "its answer is not a JSON object")
    return found


def segment(text: str) -> str:
    """The text as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def json_answer(body: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body).encode())


class Route(NamedTuple):
    """What answers a method on a path; `{name}` in the path stands for one segment."""

    method: str
    path: str
    action: Callable[[Request], Answer]


class Service(Protocol):
    """A service's own code."""

    def routes(self) -> tuple[Route, ...]:
        """What it answers; the first route that fits is taken."""


def pattern(path: str) -> re.Pattern[str]:
    """The regular expression of a route's path."""
    return re.compile("/".join(re.sub(r"^\{(\w+)\}$", r"(?P<\1>[^/]+)", part) for part in path.split("/")))
