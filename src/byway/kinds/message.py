"""The form of every typed spec: a frozen struct that mirrors one message of an API, and carries that message's own
rules.

Types say what a field holds, `Annotated` marks (`Between`, `Check`) say which values it takes, class constants name
the message it mirrors, its oneofs and its required fields, and `problems()` holds what only several fields together
can get wrong. The decoder reads all four; nothing here knows of YAML or of positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar

import msgspec

from byway.base.diagnostics import Severity
from byway.base.duration import Duration


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a value; `at` is the path of the culprit, seen from the value."""

    message: str
    hint: str = ""
    code: str = "invalid-value"
    at: str = ""
    severity: Severity = Severity.ERROR


class Between(msgspec.Struct, frozen=True):
    """A mark: the number lies in this closed range."""

    low: float
    high: float


class Check(msgspec.Struct, frozen=True):
    """A mark: `problem(value)` finds nothing; on a list or map it judges each element (`keys` those of a map)."""

    problem: Callable[[Any], Problem | None]
    keys: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The base of all typed specs and of the messages inside them; frozen, they form no ring, and no collector need see them."""

    MESSAGE: ClassVar[str] = ""
    """Istio's full name of the message; its other fields are refused as not supported yet. Empty: Byway's or
    Kubernetes' own.
    """
    ONEOFS: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields (in their JSON spelling) of which at most one may be set."""
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    """Fields that must be there and not empty; a message among them has an empty one as its default, never None."""
    NOT_EMPTY: ClassVar[tuple[str, ...]] = ()
    """Fields that may be absent, but where an empty list would say the opposite of what it looks like."""
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    """Fields that exist, and mean nothing to a mesh."""
    REFUSED: ClassVar[frozenset[str]] = frozenset()
    """Fields that exist and are not supported yet, where `MESSAGE` cannot tell."""
    WITHOUT: ClassVar[str] = "remove it"
    """What to do about a field that is not supported."""

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the message as a whole."""
        return iter(())


def at_least_a_millisecond(value: Duration) -> Problem | None:
    """Envoy's timers count whole milliseconds; anything below, or in between, would be rounded unseen."""
    if value.nanoseconds < 1_000_000:
        return Problem(message=f"{value} is too short", hint="write at least 1ms")
    return whole_milliseconds(value)


def whole_milliseconds(value: Duration) -> Problem | None:
    """As `at_least_a_millisecond`, for fields where 0 switches off."""
    if value.nanoseconds % 1_000_000:
        return Problem(message=f"{value} is finer than a millisecond", hint="round it to whole milliseconds")
    return None


Port = Annotated[int, Between(1, 65535)]
Count = Annotated[int, Between(0, 2**31 - 1)]
"""A counter or limit; Istio's int32 fields take no negative value where Byway supports them."""
PercentInt = Annotated[int, Between(0, 100)]
Span = Annotated[Duration, Check(at_least_a_millisecond)]
SpanOrOff = Annotated[Duration, Check(whole_milliseconds)]
