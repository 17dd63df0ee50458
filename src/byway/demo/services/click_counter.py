"""click-counter: the number of clicks of each link, and the links with the most."""

from __future__ import annotations

from typing import Final

from byway.demo.exchange import Answer, Request, Route, json_answer
from byway.demo.shelf import Tally

_N_TOP: Final = 5


class ClickCounter:
    """Counts by code."""

    def __init__(self) -> None:
        self._clicks = Tally(100_000)

    def routes(self) -> tuple[Route, ...]:
        """Count one more, tell a count, tell the highest."""
        return (
            Route("POST", "/counts/{code}", self._counted),
            Route("GET", "/counts/{code}", self._count),
            Route("GET", "/top", self._top),
        )

    def _counted(self, request: Request) -> Answer:
        return json_answer({"clicks": self._clicks.add(request.parts["code"])})

    def _count(self, request: Request) -> Answer:
        return json_answer({"clicks": self._clicks.of(request.parts["code"])})

    def _top(self, request: Request) -> Answer:
        top = self._clicks.highest(_N_TOP)
        return json_answer({"top": [{"code": code, "clicks": clicks} for code, clicks in top]})


def service() -> ClickCounter:
    """A fresh click-counter."""
    return ClickCounter()
