"""`byway status`: every proxy on one line, the troubled ones said so, then the objects in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from byway.admin.port import ProxyStatus, StoreReport, Trouble
from byway.base.clock import SystemClock
from byway.base.wording import counted
from byway.cli.answers import Proxies
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import show, table
from byway.cli.wording import finding_line, span

HEADERS = ("PROXY", "WORKLOAD", "IDENTITY", "CERTIFICATE", "CONFIG", "ENVOY", "APPLICATION", "RESTARTS", "LAST ERROR")


def command(
    *, namespace: Namespace = None, output: Output = "table", server: Server = None, state: State = None
) -> int:
    """Show every proxy: identity, certificate, configuration in sync or not, last error.

    CONFIG is SYNCED where Envoy has acknowledged all that it was sent, else it names the types that are STALE
    (sent, not yet acknowledged) or in ERROR (refused), or says DISCONNECTED (NO CHANNEL for a gRPC client that calls
    nobody at present, NOT HERE where several control planes share a store and it may be at another). CERTIFICATE is
    how long it is still valid. Below stand the objects that are in quarantine, because Envoy does not take them, and
    those that proxies refuse.
    """
    answer = understood(ControlPlane(server, state).answer("/api/status"), Proxies)
    proxies = [p for p in answer.proxies if namespace in {None, p.namespace}]
    troubles = [t for t in answer.troubles if namespace in {None, t.namespace}]
    nothing = f"no proxy is in namespace {namespace}" if answer.proxies else "no proxy has joined the mesh yet"

    def told() -> str:
        table = status_table(proxies, SystemClock().now()) if proxies else nothing
        return "\n".join([table, *trouble_lines(troubles), *store_lines(answer.store)])

    show(proxies, output, told)
    return 0


def store_lines(store: StoreReport) -> list[str]:
    """That the store is away; nothing while it is there."""
    if store.is_up:
        return []
    return ["", f"the store is away since {store.away_since}: writes are refused, what runs goes on"]


def trouble_lines(troubles: Sequence[Trouble]) -> list[str]:
    """The objects in trouble, each on one line under a heading that counts them; nothing where there are none."""
    if not troubles:
        return []
    heading = f"{counted(len(troubles), 'object')} in trouble:"
    return ["", heading, *map(_trouble, troubles)]


def _trouble(trouble: Trouble) -> str:
    name, line = f"{trouble.kind} {trouble.namespace}/{trouble.name}: ", finding_line(trouble.diagnostic)
    return line if line.startswith(name) else f"{name}{line}"


def status_table(proxies: Sequence[ProxyStatus], now: datetime) -> str:
    """The table and its summary."""
    rows = [_row(proxy, now) for proxy in sorted(proxies, key=lambda p: (p.namespace, p.instance))]
    states = [state for state in map(_config, proxies) if state not in {"NO CHANNEL", "NOT HERE"}]
    n_synced, n_elsewhere = states.count("SYNCED"), sum(proxy.may_be_elsewhere for proxy in proxies)
    elsewhere = f"; {n_elsewhere} not at this control plane (ask the others)" if n_elsewhere else ""
    return f"{table(HEADERS, rows)}\n\n{n_synced}/{counted(len(states), 'proxy', 'proxies')} in sync{elsewhere}"


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
    if proxy.may_be_elsewhere:
        return "NOT HERE"
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
