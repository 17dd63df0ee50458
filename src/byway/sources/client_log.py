"""The client's log: what psycopg says of itself goes the way of Byway's own log, in its form."""

from __future__ import annotations

import logging

import structlog

_log = structlog.get_logger("byway.store")


class _Relay(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say = _log.error if record.levelno >= logging.ERROR else _log.warning
        say("store's client", reason=" ".join(record.getMessage().split()))


def relay_client_log() -> None:
    """From now on; without it, Python writes bare lines to standard error."""
    logger = logging.getLogger("psycopg")
    if not any(isinstance(handler, _Relay) for handler in logger.handlers):
        logger.addHandler(_Relay(logging.WARNING))
        logger.propagate = False
