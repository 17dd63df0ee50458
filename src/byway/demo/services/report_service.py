"""report-service: the links that were followed most, and where they lead."""

from __future__ import annotations

from byway.demo.exchange import Answer, Request, Route, fields, json_answer, segment


class ReportService:
    """Keeps nothing."""

    def routes(self) -> tuple[Route, ...]:
        """The report of this moment."""
        return (Route("GET", "/report", _reported),)


def service() -> ReportService:
    """A fresh report-service."""
    return ReportService()


def _reported(request: Request) -> Answer:
    lines = []
    for entry in request.call("analytics-service", "GET", "/top")["top"]:
        found = request.reply("link-service", "GET", f"/links/{segment(entry['code'])}", expected=(404,))
        if found.status != 404:
            lines.append({**entry, "url": fields("link-service", found)["url"]})
    return json_answer({"top": lines})
