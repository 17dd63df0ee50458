"""badge-service: a small SVG picture of a link's clicks, to put on a page."""

from __future__ import annotations

from typing import Final

from byway.demo.exchange import Answer, Request, Route, segment

_LETTER: Final = 7
_MARGIN: Final = 10


def badge(label: str, value: str) -> str:
    """The picture: a label on grey, a value on blue."""
    left, right = len(label) * _LETTER + 2 * _MARGIN, len(value) * _LETTER + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {value}"><rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="#07c"/>'
        f'<g fill="#fff" font-family="monospace" font-size="11"><text x="{_MARGIN}" y="14">{label}</text>'
        f'<text x="{left + _MARGIN}" y="14">{value}</text></g></svg>'
    )


class BadgeService:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """Draw a badge."""
        return (Route("GET", "/badges/{code}", _drawn),)


def service() -> BadgeService:
    """A fresh badge-service."""
    return BadgeService()


def _drawn(request: Request) -> Answer:
    clicks = int(request.call("analytics-service", "GET", f"/stats/{segment(request.parts['code'])}")["clicks"])
    return Answer(200, badge("clicks", f"{clicks:,}").encode(), "image/svg+xml")
