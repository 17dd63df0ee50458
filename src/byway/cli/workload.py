"""Which workload of this host's mesh a user means, and whether that mesh runs."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byway.base.errors import UsageError

if TYPE_CHECKING:  # a command that needs no plan starts without it
    from byway.agent.layout import Layout
    from byway.agent.plan import Plan, WorkloadPlan

_MOST_NAMED: Final = 8
_LIMIT_S: Final = 5.0


def planned(plan: Plan, target: str) -> WorkloadPlan:
    """The workload of that instance, workload or service, each also as `name.namespace`; of several the first."""
    from byway.model.names import LABEL_APP

    spellings = [(w, (w.instance, w.workload, w.labels.get(LABEL_APP, ""))) for w in plan.workloads]
    for at in range(3):
        for workload, names in spellings:
            if names[at] and target in (names[at], f"{names[at]}.{workload.namespace}"):
                return workload
    known = ", ".join(workload.instance for workload in plan.workloads[:_MOST_NAMED]) or "none"
    n_more = len(plan.workloads) - _MOST_NAMED
    more = f" and {n_more} more, see `byway status`" if n_more > 0 else ""
    raise UsageError(f"no workload {target!r} runs here (known: {known}{more})")


def is_running(layout: Layout, instance: str) -> bool:
    """Whether the mesh runs: its agent is there, or, while the agent is started again, what it supervises."""
    return agent_answers(layout.api_socket) or any(
        _is_alive(layout.workload(instance).record(process)) for process in ("envoy", "app")
    )


def _is_alive(record: Path) -> bool:
    from byway.agent.processes import adopted

    process = adopted(record)
    if process is None:
        return False
    process.close()
    return True


def agent_answers(address: Path) -> bool:
    """Whether the agent listens on its socket; the file alone says nothing, it outlives a killed agent."""
    from byway.agent.layout import SocketPath

    try:
        path = SocketPath(address)
    except FileNotFoundError:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_LIMIT_S)
            connection.connect(path.text)
            return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        path.close()
