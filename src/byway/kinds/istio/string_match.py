"""StringMatch: how a text of a request is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from byway.kinds.message import Check, Message, Problem
from byway.kinds.pattern import pattern


class StringMatch(Message, frozen=True, kw_only=True):
    """At most one of the three; `regex` is RE2 and matches the whole text. None of them: the text is there at all."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.StringMatch"
    ONEOFS: ClassVar[tuple[tuple[str, ...], ...]] = (("exact", "prefix", "regex"),)

    exact: str | None = None
    prefix: str | None = None
    regex: Annotated[str, Check(pattern)] | None = None

    @property
    def is_presence(self) -> bool:
        """Whether any text will do, as long as there is one."""
        return self.exact is None and self.prefix is None and self.regex is None

    def problems(self) -> Iterator[Problem]:
        """An empty prefix matches everything, which nobody means."""
        if self.prefix == "":
            yield Problem(
                message="an empty prefix matches everything",
                hint="write the prefix, or leave the match out",
                at="prefix",
            )
