"""audit-service: what happened, in a chain of hashes: no event can be changed or left out unnoticed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import deque
from threading import Lock
from typing import Final, NamedTuple

from byway.demo.exchange import Answer, Request, Route, json_answer

_MOST_EVENTS: Final = 10_000
_N_SHOWN: Final = 50


class Event(NamedTuple):
    """One link of the chain."""

    number: int
    what: str
    code: str
    who: str
    before: str
    """The digest of the event before this one."""

    def digest(self) -> str:
        """The hash of all fields."""
        return hashlib.blake2b(json.dumps(self).encode(), digest_size=16).hexdigest()


class AuditService:
    """The newest events; the chain goes on where old ones fall out."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._lock = Lock()

    def routes(self) -> tuple[Route, ...]:
        """Write an event, read the newest."""
        return (Route("POST", "/events", self._written), Route("GET", "/events", self._read))

    def _written(self, request: Request) -> Answer:
        what, code, who = request.text("what"), request.text("code"), request.text("who")
        with self._lock:
            last = self._events[-1] if self._events else None
            event = Event(last.number + 1 if last else 1, what, code, who, last.digest() if last else "")
            self._events.append(event)
        return json_answer({"number": event.number, "digest": event.digest()}, 201)

    def _read(self, request: Request) -> Answer:
        with self._lock:
            shown = list(self._events)[-_N_SHOWN:]
        is_whole = all(event.before == before.digest() for before, event in itertools.pairwise(shown))
        return json_answer({"events": [event._asdict() for event in shown], "is_whole": is_whole})


def service() -> AuditService:
    """A fresh audit-service."""
    return AuditService()
