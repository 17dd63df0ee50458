"""`byway debug`: the inside of the running control plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from byway.admin.port import EngineReport, QueryReport
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.options import Output, Server, State
from byway.cli.output import show, table

HEADERS: Final = ("QUERY", "HELD", "COMPUTED", "REUSED", "CUT OFF", "SECONDS", "SLOWEST MS", "SLOWEST CALL")

What = Literal["engine"]
Order = Literal["seconds", "computed", "held", "slowest"]


def command(
    what: What,
    /,
    *,
    sort: Annotated[Order, Parameter(help="Which column decides the order.")] = "seconds",
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show what the engine has computed, reused and cut off, query by query.

    Parameters
    ----------
    what
        `engine`: the incremental engine, from which all configuration comes. Times are a query's own.
    """
    report = understood(ControlPlane(server, state).answer("/api/debug/engine"), EngineReport)
    show(report, output, lambda: f"{_summary(report)}\n\n{query_table(report.queries, sort)}")
    return 0


def _summary(report: EngineReport) -> str:
    held = sum(query.n_held for query in report.queries)
    computed, reused = (sum(getattr(q, field) for q in report.queries) for field in ("n_computed", "n_reused"))
    return (
        f"revision {report.revision}; {held} results held for {report.n_roots} roots; "
        f"{computed} computed, {reused} reused, {sum(q.n_cut_off for q in report.queries)} cut off"
    )


def query_table(queries: Sequence[QueryReport], order: Order) -> str:
    """One query a line, the most of `order` first."""
    field = {"seconds": "seconds", "computed": "n_computed", "held": "n_held", "slowest": "slowest_s"}[order]
    rows = [
        (
            query.query,
            str(query.n_held),
            str(query.n_computed),
            str(query.n_reused),
            str(query.n_cut_off),
            f"{query.seconds:.3f}",
            f"{1000 * query.slowest_s:.1f}",
            query.slowest[:100] or "-",
        )
        for query in sorted(queries, key=lambda q: (-getattr(q, field), q.query))
    ]
    return table(HEADERS, rows)
