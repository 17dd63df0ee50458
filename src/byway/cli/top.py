"""`byway top`: golden signals, again and again on a terminal, once elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from byway.cli.answers import GoldenSignals
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.graph import Window
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import show, table
from byway.cli.values import seconds
from byway.cli.wording import latency, percent
from byway.telemetry.golden import Signals

HEADERS = ("NAMESPACE", "NAME", "RPS", "SUCCESS", "P50", "P95", "P99")
REFRESH_S: Final = 2.0

What = Literal["services", "workloads"]


def command(
    what: What = "services",
    /,
    *,
    once: Annotated[bool, Parameter(negative="", show_default=False, help="Print once, also on a terminal.")] = False,
    window: Window = "60s",
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show the golden signals of every service: requests a second, success, latency.

    SUCCESS is the share of requests that are no failures. Failures are answers 5xx, requests without an answer (unless
    the caller hung up), and the gRPC statuses UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and
    DATA_LOSS; 4xx are the caller's and none. A TCP connection counts as one request that succeeds.

    On a terminal the table renews itself until Ctrl-C.

    Parameters
    ----------
    what
        Services as their callers see them, or workloads as their own proxies see them.
    """
    control_plane, window_s = ControlPlane(server, state), seconds("--window", window)

    def signals() -> list[Signals]:
        found = understood(control_plane.answer("/api/top", window=window_s), GoldenSignals).signals
        return [s for s in found if f"{s.kind}s" == what and namespace in {None, s.namespace}]

    if once or output != "table" or not sys.stdout.isatty():
        found = signals()
        show(found, output, lambda: signal_table(found))
        return 0
    return _live(lambda: signal_table(signals()))


def _live(screen: Callable[[], str]) -> int:
    from rich.live import Live
    from rich.text import Text

    pause = threading.Event()
    with Live(Text(screen()), screen=True, auto_refresh=False) as live:
        while not pause.wait(REFRESH_S):
            live.update(Text(screen()), refresh=True)
    return 0


def signal_table(signals: Sequence[Signals]) -> str:
    """One service or workload a line, the busiest first."""
    if not signals:
        return "no requests have been seen yet"
    rows = [
        (
            signal.namespace,
            signal.name,
            f"{signal.requests_per_s:.1f}",
            "-" if signal.success_rate is None else percent(signal.success_rate),
            latency(signal.p50_ms),
            latency(signal.p95_ms),
            latency(signal.p99_ms),
        )
        for signal in sorted(signals, key=lambda s: (-s.requests_per_s, s.namespace, s.name))
    ]
    return table(HEADERS, rows)
