"""web: the entry. It serves the pages and the API of the shortener, and asks other services for all that it says."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, fields, json_answer

_CODE: Final = re.compile(r"[0-9A-Za-z]{4,12}")
_PAGE: Final = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Short</title>
<style>body{font:1.1rem system-ui;max-width:36rem;margin:4rem auto}input{width:70%}input,button{font:inherit}</style>
<h1>Short links</h1>
<form><input name="url" type="url" required placeholder="https://example.com/a/way"> <button>Shorten</button></form>
<p id="said"></p>
<script>
const said = document.querySelector("#said");
document.querySelector("form").onsubmit = async event => {
  event.preventDefault();
  const answer = await fetch("/api/links", {method: "POST", body: JSON.stringify({url: event.target.url.value})});
  const link = await answer.json();
  if (!answer.ok) { said.textContent = link.error; return; }
  const anchor = document.createElement("a");
  anchor.href = anchor.textContent = location.origin + "/" + link.code;
  said.replaceChildren(anchor);
};
</script></html>
"""


class Web:
    """The public face; keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """Pages, the API, and last of all the short links themselves."""
        return (
            Route("GET", "/", lambda request: Answer(200, _PAGE, "text/html; charset=utf-8")),
            Route("POST", "/api/sessions", _signed_in),
            Route("POST", "/api/links", _shortened),
            Route("GET", "/api/stats/{code}", _stats),
            Route("GET", "/api/search", _found),
            Route("GET", "/api/report", lambda request: json_answer(request.call("report-service", "GET", "/report"))),
            Route("GET", "/badge/{code}", _badge),
            Route("GET", "/{code}", _redirected),
        )


def service() -> Web:
    """A fresh web."""
    return Web()


def _signed_in(request: Request) -> Answer:
    reply = request.reply("auth-service", "POST", "/sign-ins", {"user": request.text("user")}, expected=(400,))
    return Answer(reply.status, reply.content)


def _shortened(request: Request) -> Answer:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    checked = request.reply("auth-service", "POST", "/checks", {"token": token}, expected=(401,))
    if checked.status == 401:
        return Answer(401, checked.content)
    user = fields("auth-service", checked)["user"]
    reply = request.reply(
        "link-service", "POST", "/links", {"url": request.text("url"), "owner": user}, expected=(400, 422, 429)
    )
    return Answer(reply.status, reply.content)


def _redirected(request: Request) -> Answer:
    visit = {"code": _code(request), "client": _client(request)}
    reply = request.reply("redirect-service", "POST", "/visits", visit, expected=(404,))
    if reply.status == 404:
        return Answer(404, reply.content)
    return Answer(302, location=str(fields("redirect-service", reply)["url"]))


def _stats(request: Request) -> Answer:
    return json_answer(request.call("analytics-service", "GET", f"/stats/{_code(request)}"))


def _found(request: Request) -> Answer:
    words = urllib.parse.urlencode({"q": request.query.get("q", "")})
    return json_answer(request.call("search-service", "GET", f"/search?{words}"))


def _badge(request: Request) -> Answer:
    reply = request.reply("badge-service", "GET", f"/badges/{_code(request)}")
    return Answer(200, reply.content, reply.headers.get("content-type", "image/svg+xml"))


def _code(request: Request) -> str:
    code = request.parts["code"]
    if not _CODE.fullmatch(code):
        raise DeclinedError(404, "no such page")
    return code


def _client(request: Request) -> str:
    """The address of who asks, as far as the proxies before this service tell it."""
    return request.headers.get("x-forwarded-for", request.client).split(",")[0].strip()
