"""link-service: makes and finds links. It runs in several instances and two versions, so it keeps nothing."""

from __future__ import annotations

from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, fields, json_answer, segment
from byway.demo.peers import DependencyError

_MOST_CODES: Final = 3


class LinkService:
    """What a link must pass before it exists: validation, the owner's quota, a free code."""

    def routes(self) -> tuple[Route, ...]:
        """Make a link, find a link."""
        return (Route("POST", "/links", _made), Route("GET", "/links/{code}", _found))


def service() -> LinkService:
    """A fresh link-service."""
    return LinkService()


def _made(request: Request) -> Answer:
    owner, url = request.text("owner"), request.text("url")
    validated = request.reply("url-validator", "POST", "/validations", {"url": url}, expected=(422,))
    if validated.status == 422:
        return Answer(422, validated.content)
    url = fields("url-validator", validated)["url"]
    used = request.reply("quota-service", "POST", "/uses", {"user": owner}, expected=(429,))
    if used.status == 429:
        return Answer(429, used.content)
    code = _stored(request, {"url": url, "owner": owner})
    request.call("audit-service", "POST", "/events", {"what": "link made", "code": code, "who": owner})
    request.call("search-service", "POST", "/documents", {"code": code, "url": url})
    return json_answer({"code": code, "url": url, "owner": owner, "made_by": request.identity.instance}, 201)


def _stored(request: Request, link: dict[str, object]) -> str:
    """The code under which the link was stored; a code that is taken is given up for another."""
    for _ in range(_MOST_CODES):
        code = str(request.call("code-service", "POST", "/codes")["code"])
        if request.reply("link-store", "PUT", f"/links/{segment(code)}", link, expected=(409,)).status != 409:
            return code
    raise DependencyError("code-service", 502, f"gave {_MOST_CODES} codes that were taken")


def _found(request: Request) -> Answer:
    reply = request.reply("link-store", "GET", f"/links/{segment(request.parts['code'])}", expected=(404,))
    if reply.status == 404:
        raise DeclinedError(404, "no such link")
    return json_answer(fields("link-store", reply))
