"""HTTPRetry: how often, and on what, a failed request is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from byway.kinds.message import Check, Count, Message, Problem, Span
from byway.kinds.suggestion import closest

CONDITIONS: Final = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited",
        "retriable-4xx", "refused-stream", "retriable-status-codes", "http3-post-connect-failure",
        "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
    }
)  # fmt: skip
"""Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on` conditions, without `retriable-headers`, which needs a list
of headers.
"""


def retry_on(value: str) -> Problem | None:
    """A comma-separated list of Envoy's conditions and of HTTP status codes."""
    for condition in (part.strip() for part in value.split(",")):
        if condition in CONDITIONS or (
            condition.isascii() and condition.isdecimal() and 100 <= int(condition[:9]) <= 599
        ):
            continue
        return Problem(message=f'"{condition}" is no condition to retry on', hint=closest(condition, CONDITIONS))
    return None


class HTTPRetry(Message, frozen=True, kw_only=True):
    """`attempts` counts the retries, 0 switches them off; `backoff` is the base interval between them."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPRetry"

    attempts: Count = 0
    per_try_timeout: Span | None = None
    retry_on: Annotated[str, Check(retry_on)] = ""
    backoff: Span | None = None

    def problems(self) -> Iterator[Problem]:
        """Details of retries that never happen are a mistake."""
        if self.attempts == 0 and (self.per_try_timeout or self.retry_on or self.backoff):
            yield Problem(
                message="retries are off (attempts is 0), so its other fields say nothing",
                hint="set attempts, or remove them",
            )
