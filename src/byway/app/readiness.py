"""How far a mesh has come: what each workload still lacks, in words, from what control plane and agent report.

Envoys belong to the mesh, and it has not started before all of them are connected and in sync. Applications belong to
their user: one that crashes holds up nobody else, it is named and started again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from byway.agent.frames import ProcessReport, WorkloadReport
from byway.agent.plan import Plan, WorkloadPlan
from byway.model.names import LABEL_APP

_OFTEN = 3


class Lack(msgspec.Struct, frozen=True):
    """Why a workload is not ready yet."""

    workload: WorkloadPlan
    reason: str
    is_application: bool = False
    is_failing: bool = False  # it does not just take its time

    def __str__(self) -> str:
        return f"{self.workload.instance}: {self.reason}"

    @property
    def service(self) -> str:
        """The service that lacks an instance; empty for a gateway."""
        return self.workload.labels.get(LABEL_APP, "") if self.workload.command else ""


def lacks(plan: Plan, proxies: Sequence[Mapping[str, Any]], reports: Sequence[WorkloadReport]) -> tuple[Lack, ...]:
    """What is not ready, in the order of the plan; nothing where all is."""
    known = {(proxy.get("namespace"), proxy.get("instance")): proxy for proxy in proxies}
    reported = {(report.namespace, report.instance): report for report in reports}
    found = []
    for workload in plan.workloads:
        key = (workload.namespace, workload.instance)
        lack = _lack(workload, known.get(key, {}), reported.get(key))
        if lack is not None:
            found.append(lack)
    return tuple(found)


def _lack(workload: WorkloadPlan, proxy: Mapping[str, Any], report: WorkloadReport | None) -> Lack | None:
    if workload.kind == "grpc":
        return _application_lack(workload, report)
    envoy = (report and report.envoy) or ProcessReport(phase=str(proxy.get("envoy_state") or "planned"))
    if envoy.phase != "ready":
        fault = f"; {report.fault}" if report and report.fault else ""
        return Lack(workload, f"Envoy {_course(envoy)}{fault}", is_failing=envoy.n_restarts > _OFTEN)
    if not (proxy.get("connected") and proxy.get("in_sync")):
        error = f": {proxy['last_error']}" if proxy.get("last_error") else ""
        state = "is not in sync" if proxy.get("connected") else "is not connected to the control plane"
        return Lack(workload, f"Envoy {state}{error}")
    return _application_lack(workload, report)


def _application_lack(workload: WorkloadPlan, report: WorkloadReport | None) -> Lack | None:
    application = report.application if report else None
    if not workload.command or (application is not None and application.phase == "ready"):
        return None
    if application is None:
        return Lack(workload, "application is not started yet", is_application=True)
    course = _course(application)
    if application.phase == "starting" and not application.n_restarts:
        ports = ", ".join(str(port.app_port) for port in workload.ports)
        course = f"runs, but does not listen on port {ports} yet"
    return Lack(workload, f"application {course}", is_application=True, is_failing=application.n_restarts > _OFTEN)


def _course(process: ProcessReport) -> str:
    if process.last_exit and process.n_restarts:
        often = "once" if process.n_restarts == 1 else f"{process.n_restarts} times"
        return f"{process.last_exit}, started again {often}"
    return {"planned": "is not started yet", "starting": "is starting"}.get(process.phase, f"is {process.phase}")
