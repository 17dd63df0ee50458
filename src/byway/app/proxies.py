"""How one proxy is, from what the mesh knows of it, its stream, and its agent's report."""

from __future__ import annotations

from typing import Literal

from byway.admin.port import ProxyStatus
from byway.ads.hub import ConnectedProxy
from byway.agent.frames import WorkloadReport
from byway.identity.spiffe import workload_id
from byway.model.labels import label
from byway.model.names import (
    LABEL_PROXY,
    TYPE_CLUSTER,
    TYPE_ENDPOINTS,
    TYPE_LISTENER,
    TYPE_ROUTE,
    TYPE_VIRTUAL_HOST,
)
from byway.model.workload import Interception, Workload

_SHORT = {
    "clusters": TYPE_CLUSTER,
    "listeners": TYPE_LISTENER,
    "endpoints": TYPE_ENDPOINTS,
    "routes": TYPE_ROUTE,
    "virtual_hosts": TYPE_VIRTUAL_HOST,
}


def proxy_status(
    workload: Workload,
    trust_domain: str,
    stream: ConnectedProxy | None,
    report: WorkloadReport | None,
    *,
    is_shared: bool = False,
) -> ProxyStatus:
    """One line of `byway status`; a proxy without a stream is known but not connected, or not here where others share
    the source.
    """
    return ProxyStatus(
        instance=workload.instance,
        workload=workload.name,
        namespace=workload.namespace,
        identity=str(workload_id(trust_domain, workload.namespace, workload.service_account)),
        kind=_kind(workload),
        node=workload.node,
        connected=stream is not None,
        may_be_elsewhere=is_shared and stream is None,
        in_sync=stream is not None and stream.is_in_sync,
        sync=_sync(stream) if stream else {},
        certificate_not_after=report.expires if report else "",
        last_error=_last_error(stream, report),
        envoy_state=report.envoy.phase if report and report.envoy else "",
        app_state=report.application.phase if report and report.application else "",
        n_envoy_restarts=report.envoy.n_restarts if report and report.envoy else 0,
        n_app_restarts=report.application.n_restarts if report and report.application else 0,
    )


def _kind(workload: Workload) -> Literal["sidecar", "router", "grpc"]:
    if label(workload.labels, LABEL_PROXY) == "grpc":
        return "grpc"
    return "router" if workload.interception is Interception.NONE else "sidecar"


def _sync(stream: ConnectedProxy) -> dict[str, str]:
    words = {}
    for name, type_url in _SHORT.items():
        if not stream.held.get(type_url):
            words[name] = "NOT SENT"
        elif stream.last_error is not None and not stream.is_in_sync:
            # A refusal is one resource's; everything else goes on being delivered.
            words[name] = "ERROR" if stream.last_error.type_url == type_url else "SYNCED"
        else:
            words[name] = "SYNCED" if stream.is_in_sync else "STALE"
    return words


def _last_error(stream: ConnectedProxy | None, report: WorkloadReport | None) -> str:
    if stream is not None and stream.last_error is not None and not stream.is_in_sync:
        return f"{stream.last_error.name}: {stream.last_error.reason}"
    return report.fault if report else ""
