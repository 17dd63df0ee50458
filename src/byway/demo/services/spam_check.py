"""spam-check: how much a URL looks like spam, from 0 to 1, and why."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from byway.demo.exchange import Answer, Request, Route, json_answer

_WORDS: Final = re.compile(r"casino|viagra|lottery|free-?money|prize|click-?here", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\[[0-9a-f:.]+\]|[\d.]+", re.IGNORECASE)


def signs(url: str) -> dict[str, float]:
    """What speaks against a URL, with weights."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2].partition(":")[0] or parts.netloc
    letters = re.sub(r"[^0-9A-Za-z]", "", host)
    found = {
        "words of spam": min(0.9, 0.45 * len(set(_WORDS.findall(url)))),
        "a bare address": 0.3 if _ADDRESS.fullmatch(host) else 0.0,
        "punycode": 0.3 if "xn--" in host.lower() else 0.0,
        "many subdomains": 0.2 if host.count(".") > 4 else 0.0,
        "many hyphens": 0.2 if host.count("-") > 3 else 0.0,
        "mostly digits": 0.2 if sum(letter.isdigit() for letter in letters) * 2 > len(letters) else 0.0,
        "very long": 0.1 if len(url) > 500 else 0.0,
    }
    return {sign: weight for sign, weight in found.items() if weight}


class SpamCheck:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """Score a URL."""
        return (Route("POST", "/scores", _scored),)


def service() -> SpamCheck:
    """A fresh spam-check."""
    return SpamCheck()


def _scored(request: Request) -> Answer:
    found = signs(request.text("url"))
    return json_answer({"score": round(min(1.0, sum(found.values())), 2), "signs": sorted(found)})
