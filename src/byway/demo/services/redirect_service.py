"""redirect-service: follows a short link, and has the visit counted."""

from __future__ import annotations

from byway.demo.exchange import Answer, DeclinedError, Request, Route, fields, json_answer, segment


class RedirectService:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """A visit, not a look-up: it is counted."""
        return (Route("POST", "/visits", _visited),)


def service() -> RedirectService:
    """A fresh redirect-service."""
    return RedirectService()


def _visited(request: Request) -> Answer:
    code = request.text("code")
    found = request.reply("link-service", "GET", f"/links/{segment(code)}", expected=(404,))
    if found.status == 404:
        raise DeclinedError(404, "no such link")
    link = fields("link-service", found)
    click = {"code": code, "owner": link["owner"], "client": request.text("client")}
    counted = request.call("analytics-service", "POST", "/clicks", click)
    return json_answer({"url": link["url"], "clicks": counted["clicks"]})
