"""`byway status`: every proxy on one line, the troubled ones said so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from byway.admin.port import ProxyStatus
from byway.base.clock import SystemClock
from byway.cli.answers import Proxies
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.options import DEFAULT_SERVER, Namespace, Output, Server
from byway.cli.output import show, table
from byway.cli.wording import counted, span

HEADERS = ("PROXY", "WORKLOAD", "IDENTITY", "CERTIFICATE", "CONFIG", "ENVOY", "APPLICATION", "RESTARTS", "LAST ERROR")


def command(*, namespace: Namespace = None, output: Output = "table", server: Server = DEFAULT_SERVER) -> int:
    """Show every proxy: identity, certificate, configuration in sync or not, last error.

    CONFIG is SYNCED where Envoy has acknowledged all that it was sent, else it names the types that are STALE
    (sent, not yet acknowledged) or in ERROR (refused), or says DISCONNECTED (NO CHANNEL for a gRPC client that calls
    nobody at present). CERTIFICATE is how long it is still valid.
    """
    found = understood(ControlPlane(server).answer("/api/status"), Proxies).proxies
    proxies = [p for p in found if namespace in {None, p.namespace}]
    nothing = f"no proxy is in namespace {namespace}" if found else "no proxy has joined the mesh yet"
    show(proxies, output, lambda: status_table(proxies, SystemClock().now()) if proxies else nothing)
    return 0


def status_table(proxies: Sequence[ProxyStatus], now: datetime) -> str:
    """The table and its summary."""
    rows = [_row(proxy, now) for proxy in sorted(proxies, key=lambda p: (p.namespace, p.instance))]
    states = [state for state in map(_config, proxies) if state != "NO CHANNEL"]
    n_synced = states.count("SYNCED")
    return f"{table(HEADERS, rows)}\n\n{n_synced}/{counted(len(states), 'proxy', 'proxies')} in sync"


def _row(proxy: ProxyStatus, now: datetime) -> tuple[str, ...]:
    return (
        f"{proxy.instance}.{proxy.namespace}",
        proxy.workload,
        proxy.identity.removeprefix("spiffe://"),
        remaining(proxy.certificate_not_after, now),
        _config(proxy),
        proxy.envoy_state or "-",
        proxy.app_state or "-",
        str(proxy.n_envoy_restarts + proxy.n_app_restarts),
        proxy.last_error or "-",
    )


def _config(proxy: ProxyStatus) -> str:
    if not proxy.connected:
        return "NO CHANNEL" if proxy.kind == "grpc" else "DISCONNECTED"
    troubled = [f"{state} {kind}" for kind, state in sorted(proxy.sync.items()) if state not in {"SYNCED", "NOT SENT"}]
    return ", ".join(troubled) or ("SYNCED" if proxy.in_sync else "STALE")


def remaining(not_after: str, now: datetime) -> str:
    """How long a certificate is still valid, in words."""
    if not not_after:
        return "-"
    seconds = (datetime.fromisoformat(not_after) - now).total_seconds()
    return span(seconds) if seconds > 0 else f"EXPIRED {span(-seconds)} ago"
