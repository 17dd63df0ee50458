"""Who calls whom, as one reporter sees it, and how much in the last minutes.

A `Flow` is the part of a series' labels that a service graph needs. `Windows` keeps for each flow what happened in
short slots of time, so that rates and percentiles over any of the last minutes are sums of a few slots.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from byway.telemetry.aggregation import Labels

SLOT_S: Final = 5.0
KEPT_S: Final = 300.0
FLOWS: Final = 20_000
UNKNOWN: Final = "unknown"
DURATION: Final = "istio_request_duration_milliseconds"
REQUESTS: Final = "istio_requests_total"
OPENED: Final = "istio_tcp_connections_opened_total"

_GRPC_SERVER_ERRORS: Final = frozenset({"2", "4", "12", "13", "14", "15"})


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Requests from one workload to one workload of a service, as the `reporter` saw them.

    `security` is `mutual_tls`, `none` (plain text), or `unknown`.
    """

    reporter: str
    source_workload: str
    source_namespace: str
    source_principal: str
    destination_service: str
    destination_service_namespace: str
    destination_workload: str
    destination_namespace: str
    destination_version: str
    protocol: str
    security: str

    @classmethod
    def of(cls, labels: Labels) -> Flow:
        """The flow that a series with these labels belongs to."""
        values = dict(labels)

        def value(name: str) -> str:
            return values.get(name) or UNKNOWN

        return cls(
            reporter=value("reporter"),
            source_workload=value("source_workload"),
            source_namespace=value("source_workload_namespace"),
            source_principal=value("source_principal"),
            destination_service=value("destination_service_name"),
            destination_service_namespace=value("destination_service_namespace"),
            destination_workload=value("destination_workload"),
            destination_namespace=value("destination_workload_namespace"),
            destination_version=value("destination_version"),
            protocol=value("request_protocol"),
            security=_security(values),
        )


def _security(values: dict[str, str]) -> str:
    """How a request went; Istio's policy is "unknown" at the source, where the server's principal tells instead."""
    policy = values.get("connection_security_policy") or UNKNOWN
    if policy != UNKNOWN or values.get("reporter") != "source":
        return policy
    if (values.get("destination_principal") or UNKNOWN) != UNKNOWN:
        return "mutual_tls"
    # Without an answer there may have been no connection whose server could prove anything.
    is_answered = values.get("response_flags", "-") == "-"
    is_known = (values.get("destination_workload") or UNKNOWN) != UNKNOWN
    return "none" if is_answered and is_known else UNKNOWN


def is_failure(labels: Labels) -> bool:
    """Whether a request with these labels failed by the server's or the network's fault."""
    values = dict(labels)
    code = values.get("response_code", "")
    if code == "0":
        return "DC" not in values.get("response_flags", "")
    return code.startswith("5") or values.get("grpc_response_status", "") in _GRPC_SERVER_ERRORS


class Traffic:
    """Requests, failures and their durations within some time."""

    __slots__ = ("bounds", "counts", "n_failures", "n_requests", "n_timed")

    def __init__(self) -> None:
        self.n_requests = 0.0
        self.n_failures = 0.0
        self.n_timed = 0
        self.bounds: tuple[float, ...] = ()
        self.counts: list[int] = []

    def add(self, other: Traffic) -> None:
        """Adds another time's or flow's traffic to this."""
        self.n_requests += other.n_requests
        self.n_failures += other.n_failures
        if other.bounds:
            self.time(other.bounds, other.counts, other.n_timed)

    def time(self, bounds: tuple[float, ...], counts: Sequence[int], n_timed: int) -> None:
        """Adds durations; those in other bounds than before replace them."""
        if self.bounds != bounds:
            self.bounds, self.counts, self.n_timed = bounds, [0] * len(bounds), 0
        mine = self.counts
        for index, n in enumerate(counts):
            if n:
                mine[index] += n
        self.n_timed += n_timed

    def percentile_ms(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of the requests stay below, interpolated within its bucket."""
        if not self.n_timed:
            return None
        rank, below, lower = share * self.n_timed, 0, 0.0
        for bound, n in zip(self.bounds, self.counts, strict=True):
            if n and below + n >= rank:
                return round(lower + (bound - lower) * max(rank - below, 0.0) / n, 3)
            below += n
            lower = bound
        return self.bounds[-1]


class _Window:
    """The slots of one flow, oldest first."""

    __slots__ = ("n_failures", "n_requests", "seen_s", "slots")

    def __init__(self) -> None:
        self.slots: deque[tuple[int, Traffic]] = deque(maxlen=int(KEPT_S / SLOT_S) + 1)
        self.n_requests = 0.0
        self.n_failures = 0.0
        self.seen_s = 0.0

    def slot(self, now_s: float) -> Traffic:
        index = int(now_s / SLOT_S)
        if not self.slots or self.slots[-1][0] != index:
            self.slots.append((index, Traffic()))
        return self.slots[-1][1]


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with its traffic in the window that was asked for, and since it was first seen."""

    flow: Flow
    recent: Traffic
    n_requests_ever: float
    n_failures_ever: float
    idle_s: float


class Windows:
    """The recent past of every flow."""

    def __init__(self, started_s: float, *, flows: int = FLOWS) -> None:
        self._started_s = started_s
        self._limit = flows
        self._flows: dict[Flow, _Window] = {}
        self.n_flows_refused = 0

    def requests(self, now_s: float, flow: Flow, n: float, *, has_failed: bool, is_recent: bool) -> None:
        """`n` requests were counted; not `is_recent` when they may have happened long before (a first report)."""
        window = self._window(now_s, flow)
        if window is None:
            return
        window.n_requests += n
        window.n_failures += n if has_failed else 0
        if is_recent:
            slot = window.slot(now_s)
            slot.n_requests += n
            slot.n_failures += n if has_failed else 0

    def durations(self, now_s: float, flow: Flow, bounds: tuple[float, ...], counts: list[int], n_timed: int) -> None:
        """So many requests took so long."""
        window = self._window(now_s, flow)
        if window is not None:
            window.slot(now_s).time(bounds, counts, n_timed)

    def observed(self, now_s: float, window_s: float, lag_s: float = 0.0) -> Iterable[Observed]:
        """Every flow known, with what it carried in the `window_s` seconds that ended `lag_s` ago."""
        oldest, newest = int((now_s - lag_s - window_s) / SLOT_S), int((now_s - lag_s) / SLOT_S)
        for flow, window in self._flows.items():
            recent = Traffic()
            for index, traffic in window.slots:
                if oldest < index <= newest:
                    recent.add(traffic)
            yield Observed(
                flow=flow,
                recent=recent,
                n_requests_ever=window.n_requests,
                n_failures_ever=window.n_failures,
                idle_s=max(now_s - window.seen_s, 0.0),
            )

    def seen(self) -> Sequence[tuple[Flow, float]]:
        """Every flow known, with the time at which it last carried anything."""
        return [(flow, window.seen_s) for flow, window in self._flows.items()]

    def span_s(self, now_s: float, window_s: float) -> float:
        """How many of the last `window_s` seconds were watched at all; what a rate divides by."""
        return max(min(window_s, now_s - self._started_s), SLOT_S)

    def expire(self, now_s: float, silence_s: float) -> None:
        """Forgets flows that carried nothing for so long."""
        for flow in [flow for flow, window in self._flows.items() if window.seen_s < now_s - silence_s]:
            del self._flows[flow]

    def _window(self, now_s: float, flow: Flow) -> _Window | None:
        window = self._flows.get(flow)
        if window is None:
            if len(self._flows) >= self._limit:
                self.n_flows_refused += 1
                return None
            window = self._flows[flow] = _Window()
        window.seen_s = now_s
        return window
