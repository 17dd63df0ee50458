"""What the demo's load asks: the steps of a visitor of the shortener, in a fixed mix that reaches every service.

Pure but for its own memory of codes and tokens: a step says what to send and which answer is right, and
learns from it.
"""

from __future__ import annotations

import itertools
import json
import urllib.parse
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, NamedTuple

MIX: Final = (
    "create", "follow", "follow", "stats", "follow",
    "create", "follow", "search", "follow", "follow",
    "create", "follow", "report", "stats", "follow",
    "create", "follow", "badge", "follow", "sign-in",
)  # fmt: skip
"""The order of steps, over and over: half of all follow a link, a fifth make one."""

_OF_A_LINK: Final = {"follow": ("/", 302), "stats": ("/api/stats/", 200), "badge": ("/badge/", 200)}
_N_CODES: Final = 500
_SITES: Final = ("example.com", "example.org", "docs.example.net", "shop.example.com:8443", "example.edu")
_TOPICS: Final = ("mesh", "proxy", "route", "canary", "toll", "bridge", "signal", "road")
_VISITORS: Final = ("192.0.2.7", "192.0.2.200", "198.51.100.4", "203.0.113.9", "2001:db8::17")
_USERS: Final = ("ada", "grace", "edsger")


class Step(NamedTuple):
    """One request, the statuses that are right, and what to remember of a right answer."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    expected: int
    learn: Callable[[bytes], None]
    forget: Callable[[], None]


class Traffic:
    """The steps, and the links and sessions they made; safe to use from many threads."""

    def __init__(self) -> None:
        self._codes: deque[str] = deque(maxlen=_N_CODES)
        self._tokens: dict[str, str] = {}
        self._lock = Lock()
        self._numbers = itertools.count()

    def step(self) -> Step:
        """The next step; while no link is known, one is made."""
        with self._lock:
            number = next(self._numbers)
            kind = MIX[number % len(MIX)]
            code = self._codes[number % len(self._codes)] if self._codes else ""
        if kind == "sign-in":
            return self._sign_in(_USERS[number // len(MIX) % len(_USERS)])
        if kind == "search":
            words = urllib.parse.urlencode({"q": _TOPICS[number // len(MIX) % len(_TOPICS)]})
            return _asked(kind, f"/api/search?{words}", number)
        if kind == "report":
            return _asked(kind, "/api/report", number)
        if kind == "create" or not code:
            return self._create(number)
        path, expected = _OF_A_LINK[kind]
        step = _asked(kind, path + code, number)
        return step._replace(expected=expected, forget=lambda: self._lost(code))

    def _sign_in(self, user: str) -> Step:
        step = _told("sign-in", "/api/sessions", {"user": user}, {})
        return step._replace(learn=lambda content: self._signed_in(user, content))

    def _create(self, number: int) -> Step:
        user = _USERS[number % len(_USERS)]
        token = self._tokens.get(user)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        topic, site = _TOPICS[number % len(_TOPICS)], _SITES[number % len(_SITES)]
        url = f"https://{site}/{topic}/page-{number}"
        return _told("create", "/api/links", {"url": url}, headers)._replace(
            learn=self._created, forget=lambda: self._signed_out(user)
        )

    def _created(self, content: bytes) -> None:
        code = json.loads(content)["code"]
        with self._lock:
            self._codes.append(code)

    def _signed_in(self, user: str, content: bytes) -> None:
        self._tokens[user] = json.loads(content)["token"]

    def _signed_out(self, user: str) -> None:
        self._tokens.pop(user, None)

    def _lost(self, code: str) -> None:
        with self._lock:
            if code in self._codes:
                self._codes.remove(code)


def _nothing(*_: object) -> None:
    """There is nothing to remember."""


def _asked(kind: str, path: str, number: int) -> Step:
    headers = {"X-Forwarded-For": _VISITORS[number % len(_VISITORS)]}
    return Step(kind, "GET", path, headers, None, 200, _nothing, _nothing)


def _told(kind: str, path: str, body: object, headers: Mapping[str, str]) -> Step:
    content = json.dumps(body).encode()
    return Step(kind, "POST", path, {"Content-Type": "application/json", **headers}, content, 201, _nothing, _nothing)
