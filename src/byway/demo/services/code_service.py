"""code-service: makes codes that do not repeat and do not tell how many came before.

A counter is scrambled by a multiplication modulo 62^7, which is a bijection because the factor is odd and no multiple
of 31, and written in base 62. The counter starts at random, so that a restarted service does not begin with old codes.
"""

from __future__ import annotations

import itertools
import random
import string
from typing import Final

from byway.demo.exchange import Answer, Request, Route, json_answer

_ALPHABET: Final = string.digits + string.ascii_letters
_LENGTH: Final = 7
_SPACE: Final = len(_ALPHABET) ** _LENGTH
_FACTOR: Final = 1_580_030_173


def code(number: int) -> str:
    """The code of a number."""
    rest = number * _FACTOR % _SPACE
    letters = []
    for _ in range(_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


class CodeService:
    """Counts, and scrambles the count."""

    def __init__(self) -> None:
        self._numbers = itertools.count(random.SystemRandom().randrange(_SPACE))

    def routes(self) -> tuple[Route, ...]:
        """One code at a time."""
        return (Route("POST", "/codes", self._next),)

    def _next(self, request: Request) -> Answer:
        return json_answer({"code": code(next(self._numbers))}, 201)


def service() -> CodeService:
    """A fresh code-service."""
    return CodeService()
