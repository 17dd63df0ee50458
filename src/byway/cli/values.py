"""What the words of options mean: addresses, times and numbers, checked before anything starts."""

from __future__ import annotations

from byway.cli.wording import WrongUsageError


def address(option: str, text: str) -> str:
    """HOST:PORT, checked; a bare port means 127.0.0.1."""
    host, _, port = text.rpartition(":")
    host = host or "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise WrongUsageError(f"{option} must be HOST:PORT or a port of 1 to 65535, not `{text}`")
    return f"{host}:{port}"


def seconds(option: str, text: str) -> float:
    """A span of time in seconds: a bare number counts seconds, else as in `90s` or `24h`."""
    from byway.base.duration import parse_duration

    span = parse_duration(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    if span is None or span.seconds <= 0:
        raise WrongUsageError(f"{option} must be a number of seconds, or a duration such as 90s or 24h, not `{text}`")
    return span.seconds


def number_within(option: str, value: float, least: float, most: float) -> float:
    """A number that is neither too small nor too large to make sense."""
    if not least <= value <= most:  # also refuses NaN
        raise WrongUsageError(f"{option} must be from {least:g} to {most:g}, not {value:g}")
    return value
