"""preview-service: what a link is about, as far as its URL tells; nothing outside is fetched."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from byway.demo.exchange import Answer, Request, Route, json_answer

_MOST_WORDS: Final = 12
_NOISE: Final = frozenset({"www", "html", "htm", "php", "index", "com", "org", "net"})


def words(url: str) -> tuple[str, ...]:
    """The words of a URL's host and path, each once, as they come."""
    parts = urllib.parse.urlsplit(url)
    found = re.findall(r"[a-z0-9]{2,}", urllib.parse.unquote(f"{parts.netloc} {parts.path}").lower())
    return tuple(dict.fromkeys(word for word in found if word not in _NOISE))[:_MOST_WORDS]


class PreviewService:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """Preview a URL."""
        return (Route("POST", "/previews", _previewed),)


def service() -> PreviewService:
    """A fresh preview-service."""
    return PreviewService()


def _previewed(request: Request) -> Answer:
    url = request.text("url")
    found = words(url)
    site = urllib.parse.urlsplit(url).netloc
    return json_answer({"title": " ".join(found).title() or site, "site": site, "words": found})
