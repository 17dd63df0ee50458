"""What a workload's process finds around it: namespace, resolver, user, environment. One noun for start, restart and
`exec`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from byway.agent.grpc_client import BOOTSTRAP_FILE, VIEW
from byway.agent.interception.names import namespace_name, namespace_path
from byway.agent.layout import WorkloadLayout, write_whole
from byway.agent.plan import Plan, WorkloadPlan
from byway.agent.processes import Launch
from byway.model.names import DOMAIN_SUFFIX

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNPROXIED: Final = "127.0.0.1,localhost,::1"


def write_resolver(workload: WorkloadPlan, layout: WorkloadLayout) -> None:
    """Writes the files that make the workload's process ask the agent's DNS server, and nobody else."""
    write_whole(layout.resolv_conf, resolv_conf(workload.namespace).encode(), mode=0o644)
    host = Path("/etc/nsswitch.conf")
    write_whole(layout.nsswitch_conf, nsswitch_conf(host.read_text() if host.exists() else "").encode(), mode=0o644)


def resolv_conf(namespace: str) -> str:
    """Kubernetes' resolver file; queries to the name server are redirected to the agent's port."""
    service_domain = f"svc.{DOMAIN_SUFFIX}"
    return (
        "nameserver 127.0.0.1\n"
        f"search {namespace}.{service_domain} {service_domain} {DOMAIN_SUFFIX}\n"
        "options ndots:5 timeout:2 attempts:3\n"
    )


def nsswitch_conf(of_host: str) -> str:
    """The host's file with hosts looked up in files, then DNS: a resolver daemon of the host knows no mesh names."""
    line = "hosts: files dns"
    text, n_lines = re.subn(r"(?m)^hosts:.*$", line, of_host)
    return text if n_lines else f"{of_host}{line}\n"


def netns(plan: Plan, workload: WorkloadPlan) -> str:
    """The file of the workload's network namespace; empty for the host's own."""
    if workload.interception != "iptables":
        return ""
    return str(namespace_path(namespace_name(plan.network_name, workload.instance)))


def binds(workload: WorkloadPlan, layout: WorkloadLayout) -> tuple[tuple[str, str], ...]:
    """The files laid over the host's."""
    own = ((str(layout.client), str(VIEW)),) if workload.kind == "grpc" and client_folder(layout) == VIEW else ()
    if workload.interception != "iptables":
        return own
    return (
        (str(layout.resolv_conf), "/etc/resolv.conf"),
        (str(layout.nsswitch_conf), "/etc/nsswitch.conf"),
        *own,
    )


def client_folder(layout: WorkloadLayout) -> Path:
    """Where the workload's own process sees the directory of its gRPC client."""
    return VIEW if os.geteuid() == 0 else layout.client


def environment(workload: WorkloadPlan, layout: WorkloadLayout) -> dict[str, str]:
    """The application's environment: what the plan says, and the way into the mesh where that is not intercepted."""
    env = {"PATH": PATH}
    if workload.kind == "grpc":
        env["GRPC_XDS_BOOTSTRAP"] = str(client_folder(layout) / BOOTSTRAP_FILE)
    elif workload.interception == "explicit":
        proxy = f"http://127.0.0.1:{workload.explicit.outbound_port}"
        env |= {"http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": _UNPROXIED, "NO_PROXY": _UNPROXIED}
    return env | workload.env


def application(plan: Plan, workload: WorkloadPlan, layout: WorkloadLayout, argv: tuple[str, ...]) -> Launch:
    """How a command is run as the workload's application; without a record it stays in the foreground."""
    return Launch(
        argv=argv,
        env=environment(workload, layout),
        cwd=workload.cwd,
        netns=netns(plan, workload),
        binds=binds(workload, layout),
        uid=workload.uid,
        gid=workload.gid,
    )
