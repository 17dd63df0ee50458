"""Calls that only the server's side reported: those of strangers outside the mesh, told from the mesh's own plain calls.

A call in plain text proves no client, so its server reports it with an unknown source, while the client's own sidecar
names both ends. Nothing joins the two reports of one call but their number: of the plain calls that a workload's sidecar
counted, those that sidecars of clients counted are the mesh's own, and what remains is a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from byway.telemetry.flow import SLOT_S, UNKNOWN, Flow, Observed, Traffic, Windows

_LAG_S: Final = 2 * SLOT_S
"""How long a call that the server reported waits for the client's report: a few flushes, in whole slots."""

_Workload = tuple[str, str]


class _Account:
    """What sidecars of clients reported of calls to one workload that were not seen to be encrypted."""

    def __init__(self) -> None:
        self.n_recent = 0.0
        self.n_ever = 0.0


def reported_once(windows: Windows, now_s: float, window_s: float) -> tuple[Observed, ...]:
    """Every flow observed, without the servers' second reports of the mesh's own plain calls.

    Flows of strangers are there while they carry anything. Where sidecars call the same workload, a stranger's calls are shown
    `_LAG_S` late, as the clients' reports may be on their way.
    """
    accounts = _accounts(windows.observed(now_s, window_s + _LAG_S + SLOT_S))
    late = {each.flow: each for each in windows.observed(now_s, window_s, _LAG_S)}
    kept: list[Observed] = []
    shared: dict[_Workload, list[Observed]] = {}
    for each in windows.observed(now_s, window_s):
        workload = _workload(each.flow)
        if _is_anonymous(each.flow) and workload in accounts:
            shared.setdefault(workload, []).append(late[each.flow])
        elif each.flow.source_workload != UNKNOWN or each.recent.n_requests or each.recent.n_timed:
            kept.append(each)
    for workload, group in shared.items():
        kept.extend(_remaining(group, accounts[workload]))
    return tuple(kept)


def _is_anonymous(flow: Flow) -> bool:
    return flow.reporter == "destination" and flow.source_workload == UNKNOWN and flow.security != "mutual_tls"


def _workload(flow: Flow) -> _Workload:
    return flow.destination_namespace, flow.destination_workload


def _accounts(observed: Iterable[Observed]) -> dict[_Workload, _Account]:
    accounts: dict[_Workload, _Account] = {}
    for each in observed:
        if each.flow.reporter != "source" or each.flow.destination_workload == UNKNOWN:
            continue
        account = accounts.setdefault(_workload(each.flow), _Account())
        if each.flow.security != "mutual_tls":
            account.n_recent += each.recent.n_requests
            account.n_ever += each.n_requests_ever
    return accounts


def _remaining(group: list[Observed], account: _Account) -> Iterable[Observed]:
    """What of these flows no client's sidecar accounts for.

    Beside calls of the mesh, failed ones pass as attempts that a client's sidecar repeated, and times are not told apart.
    """
    if not account.n_recent:
        return [each for each in group if each.recent.n_requests]
    n_served = sum(each.recent.n_requests - each.recent.n_failures for each in group)
    n_left = n_served - account.n_recent
    if n_left <= 0:
        return ()
    n_ever = sum(each.n_requests_ever for each in group)
    share, share_ever = n_left / n_served, max(n_ever - account.n_ever, n_left) / n_ever
    return [_scaled(each, share, share_ever) for each in group if each.recent.n_requests > each.recent.n_failures]


def _scaled(observed: Observed, share: float, share_ever: float) -> Observed:
    recent = Traffic()
    recent.n_requests = (observed.recent.n_requests - observed.recent.n_failures) * share
    return msgspec.structs.replace(
        observed,
        recent=recent,
        n_requests_ever=observed.n_requests_ever * share_ever,
        n_failures_ever=observed.n_failures_ever * share_ever,
    )
