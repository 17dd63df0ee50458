"""analytics-service: knows how often a link was followed, and from which countries."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from byway.demo.exchange import Answer, Request, Route, json_answer, segment
from byway.demo.shelf import Shelf, Tally

_MILESTONE: Final = re.compile(r"10*")
_MOST_COUNTRIES: Final = 300


class AnalyticsService:
    """The countries of each link's visitors; the counts lie in click-counter."""

    def __init__(self) -> None:
        self._countries: Shelf[Tally] = Shelf(100_000)

    def routes(self) -> tuple[Route, ...]:
        """Count a click, tell the counts."""
        return (
            Route("POST", "/clicks", self._clicked),
            Route("GET", "/stats/{code}", self._stats),
            Route("GET", "/top", _top),
        )

    def _clicked(self, request: Request) -> Answer:
        code, owner = request.text("code"), request.text("owner")
        place = urllib.parse.urlencode({"address": request.text("client")})
        country = str(request.call("geo-service", "GET", f"/countries?{place}")["country"])
        clicks = int(request.call("click-counter", "POST", f"/counts/{segment(code)}")["clicks"])
        self._countries.add(code, Tally(_MOST_COUNTRIES))
        tally = self._countries.get(code)
        if tally is not None:
            tally.add(country)
        if _MILESTONE.fullmatch(str(clicks)):
            milestone = {"user": owner, "code": code, "clicks": clicks}
            request.call("notification-service", "POST", "/milestones", milestone)
        return json_answer({"clicks": clicks, "country": country}, 201)

    def _stats(self, request: Request) -> Answer:
        code = request.parts["code"]
        clicks = request.call("click-counter", "GET", f"/counts/{segment(code)}")["clicks"]
        tally = self._countries.get(code)
        return json_answer({"code": code, "clicks": clicks, "countries": dict(tally.highest(10)) if tally else {}})


def _top(request: Request) -> Answer:
    return json_answer(request.call("click-counter", "GET", "/top"))


def service() -> AnalyticsService:
    """A fresh analytics-service."""
    return AnalyticsService()
