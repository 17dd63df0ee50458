"""Istio's HTTPRetry in the model."""

from __future__ import annotations

from byway.kinds.istio.http_retry import HTTPRetry
from byway.model.mesh import DEFAULT_RETRIES
from byway.model.route import Retries


def retries(written: HTTPRetry | None) -> Retries | None:
    """The policy, or None where nothing was written; numbers among the words of `retryOn` are status codes."""
    if written is None:
        return None
    words = tuple(word.strip() for word in written.retry_on.split(",") if word.strip())
    codes = tuple(sorted(int(word) for word in words if word.isdigit()))
    conditions = tuple(word for word in words if not word.isdigit()) or (() if codes else DEFAULT_RETRIES.conditions)
    if codes and "retriable-status-codes" not in conditions:
        conditions = (*conditions, "retriable-status-codes")
    return Retries(
        attempts=written.attempts,
        conditions=conditions,
        status_codes=codes,
        per_try_timeout=written.per_try_timeout,
        backoff=written.backoff,
    )
