"""notification-service: tells the owner of a link that it was followed for the 1st, 10th, 100th … time."""

from __future__ import annotations

from collections import deque
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer, segment
from byway.demo.shelf import Shelf

_MOST_LETTERS: Final = 50


class NotificationService:
    """An inbox for each user: the newest letters."""

    def __init__(self) -> None:
        self._inboxes: Shelf[deque[str]] = Shelf(10_000)

    def routes(self) -> tuple[Route, ...]:
        """Tell of a milestone, read an inbox."""
        return (Route("POST", "/milestones", self._told), Route("GET", "/inboxes/{user}", self._read))

    def _told(self, request: Request) -> Answer:
        name, clicks = request.text("user"), request.body().get("clicks")
        if not isinstance(clicks, int):
            raise DeclinedError(400, "the body needs the field clicks, a number")
        user = request.call("user-service", "GET", f"/users/{segment(name)}")
        letter = f"{user['greeting']}, your link {request.text('code')} was followed {clicks} times"
        self._inboxes.add(name, deque(maxlen=_MOST_LETTERS))
        inbox = self._inboxes.get(name)
        if inbox is not None:
            inbox.append(letter)
        return json_answer({"letter": letter}, 201)

    def _read(self, request: Request) -> Answer:
        return json_answer({"letters": list(self._inboxes.get(request.parts["user"]) or ())})


def service() -> NotificationService:
    """A fresh notification-service."""
    return NotificationService()
