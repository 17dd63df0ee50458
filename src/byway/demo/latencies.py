"""Latencies in bounded memory: a histogram whose buckets grow by 2 %, which is how exact its percentiles are."""

from __future__ import annotations

import math
from typing import Final

_GROWTH: Final = math.log(1.02)
_LEAST_S: Final = 1e-5
_N_BUCKETS: Final = 900  # up to about 500 s


class Latencies:
    """Counts by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * _N_BUCKETS
        self._n = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        bucket = math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _GROWTH)
        self._counts[min(bucket, _N_BUCKETS - 1)] += 1
        self._n += 1

    def percentile_ms(self, share: float) -> float:
        """The milliseconds within which this share (0 to 1) of all lies; 0 where there are none."""
        wanted = share * self._n
        passed = 0
        for bucket, count in enumerate(self._counts):
            passed += count
            if count and passed >= wanted:
                return float(f"{_LEAST_S * math.exp(bucket * _GROWTH) * 1000:.3g}")
        return 0.0
