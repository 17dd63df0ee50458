"""link-store: the links themselves, in memory, the newest 100,000."""

from __future__ import annotations

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer
from byway.demo.shelf import Shelf


class LinkStore:
    """Links by code; a code is never given twice."""

    def __init__(self) -> None:
        self._links: Shelf[dict[str, str]] = Shelf(100_000)

    def routes(self) -> tuple[Route, ...]:
        """Store, find, count."""
        return (
            Route("PUT", "/links/{code}", self._stored),
            Route("GET", "/links/{code}", self._found),
            Route("GET", "/links", lambda request: json_answer({"links": len(self._links)})),
        )

    def _stored(self, request: Request) -> Answer:
        link = {"code": request.parts["code"], "url": request.text("url"), "owner": request.text("owner")}
        if not self._links.add(link["code"], link):
            raise DeclinedError(409, "the code is taken")
        return json_answer(link, 201)

    def _found(self, request: Request) -> Answer:
        link = self._links.get(request.parts["code"])
        if link is None:
            raise DeclinedError(404, "no such link")
        return json_answer(link)


def service() -> LinkStore:
    """A fresh link-store."""
    return LinkStore()
