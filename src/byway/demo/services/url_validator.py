"""url-validator: whether a URL may be shortened, and its normal form."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer

_MOST_LETTERS: Final = 2_048
_PRINTABLE: Final = re.compile(r"[!-~]+")
_PORTS: Final = {"http": 80, "https": 443}
_SPAM: Final = 0.8


def normal(url: str) -> str:
    """The URL in its normal form (scheme and host small, no default port); DeclinedError where it is none."""
    if len(url) > _MOST_LETTERS:
        raise DeclinedError(422, f"the URL is longer than {_MOST_LETTERS} letters")
    if not _PRINTABLE.fullmatch(url):
        raise DeclinedError(422, "the URL has a space or a letter outside ASCII in it")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise DeclinedError(422, f"no URL: {fault}") from fault
    if parts.scheme not in _PORTS or not parts.hostname:
        raise DeclinedError(422, "only http:// and https:// URLs with a host can be shortened")
    if parts.username is not None:
        raise DeclinedError(422, "a URL with a user's name in it would give it away")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None or port == _PORTS[parts.scheme] else f"{host}:{port}"
    return urllib.parse.urlunsplit((parts.scheme, place, parts.path or "/", parts.query, parts.fragment))


class UrlValidator:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """Validate a URL."""
        return (Route("POST", "/validations", _validated),)


def service() -> UrlValidator:
    """A fresh url-validator."""
    return UrlValidator()


def _validated(request: Request) -> Answer:
    url = normal(request.text("url"))
    scored = request.call("spam-check", "POST", "/scores", {"url": url})
    if scored["score"] >= _SPAM:
        raise DeclinedError(422, f"looks like spam: {', '.join(scored['signs'])}")
    return json_answer({"url": url, "score": scored["score"]})
