"""search-service: finds links by the words of what they lead to."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from byway.demo.exchange import Answer, Request, Route, json_answer
from byway.demo.shelf import Shelf

_N_RESULTS: Final = 10
_MOST_CODES_A_WORD: Final = 200


class _Document(NamedTuple):
    title: str
    url: str


class SearchService:
    """An inverted index: codes by word, documents by code."""

    def __init__(self) -> None:
        self._documents: Shelf[_Document] = Shelf(20_000)
        self._codes: Shelf[Shelf[bool]] = Shelf(20_000)

    def routes(self) -> tuple[Route, ...]:
        """Enter a link, search."""
        return (Route("POST", "/documents", self._entered), Route("GET", "/search", self._found))

    def _entered(self, request: Request) -> Answer:
        code, url = request.text("code"), request.text("url")
        preview = request.call("preview-service", "POST", "/previews", {"url": url})
        self._documents.put(code, _Document(str(preview["title"]), url))
        for word in preview["words"]:
            self._codes.add(word, Shelf(_MOST_CODES_A_WORD))
            codes = self._codes.get(word)
            if codes is not None:
                codes.put(code, value=True)
        return json_answer({"code": code, "title": preview["title"]}, 201)

    def _found(self, request: Request) -> Answer:
        hits: Counter[str] = Counter()
        for word in request.query.get("q", "").lower().split()[:10]:
            codes = self._codes.get(word)
            hits.update(code for code, _ in codes.items()) if codes else None
        found = [(code, self._documents.get(code)) for code, _ in hits.most_common(_N_RESULTS)]
        return json_answer({"results": [{"code": code, **document._asdict()} for code, document in found if document]})


def service() -> SearchService:
    """A fresh search-service."""
    return SearchService()
