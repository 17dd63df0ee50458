"""One burst of load on one target, and what wrk saw of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from bench.process import BenchFailed, output

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_MARK: Final = "RESULT "
_START_S: Final = 30.0


class Seen(msgspec.Struct, frozen=True):
    """One burst: how many requests ended, and how long the middle and the slowest hundredth took."""

    n_requests: int
    seconds: float
    n_errors: int
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.n_requests / self.seconds


def burst(entered: tuple[str, ...], url: str, *, n_connections: int, seconds: float) -> Seen:
    """A burst from where `entered` leads; every answer must be good."""
    command = (
        *entered, "wrk", "--threads", "1", "--connections", str(n_connections), "--duration", f"{seconds:g}s",
        "--timeout", "5s", "--script", str(_SCRIPT), url,
    )  # fmt: skip
    text = output(command, seconds + _START_S)
    line = next((line for line in text.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise BenchFailed(f"wrk said nothing of its result: {text[-400:]}")
    seen = msgspec.json.decode(line.removeprefix(_MARK), type=Seen)
    if seen.n_errors or not seen.n_requests:
        raise BenchFailed(f"{seen.n_errors} of {seen.n_requests} requests to {url} failed")
    return seen
