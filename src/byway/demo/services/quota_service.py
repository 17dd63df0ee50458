"""quota-service: how many links a user may make in a minute (`QUOTA_PER_MINUTE`, 6,000 by default)."""

from __future__ import annotations

import os
import time
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer
from byway.demo.shelf import Tally

_DEFAULT_PER_MINUTE: Final = "6000"


class QuotaService:
    """Counts of the running minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._uses = Tally(10_000)

    def routes(self) -> tuple[Route, ...]:
        """Use up one."""
        return (Route("POST", "/uses", self._used),)

    def _used(self, request: Request) -> Answer:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._uses = minute, Tally(10_000)
        left = self._per_minute - self._uses.add(request.text("user"))
        if left < 0:
            raise DeclinedError(429, f"more than {self._per_minute} links in a minute")
        return json_answer({"left": left})


def service() -> QuotaService:
    """A fresh quota-service."""
    return QuotaService(int(os.environ.get("QUOTA_PER_MINUTE", _DEFAULT_PER_MINUTE)))
