"""The plan: what one agent runs on its host, as `byway up` or an operator wrote it to `<state>/plan.json`.

The agent reads it at every start and decides nothing by itself: a workload that the plan holds is run or adopted, and
what the run directory remembers beyond the plan is stopped. The plan is plain data, so that any program can write
one.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, Literal

import msgspec

from byway.base.errors import UsageError
from byway.base.json import decoded
from byway.model.names import DOMAIN_SUFFIX, PORT_OUTBOUND, PORT_READY

Interception = Literal["iptables", "explicit", "none"]
Kind = Literal["sidecar", "router", "grpc"]
"""What stands between an application and the mesh; `grpc`: nothing, its gRPC library is a client of the mesh itself."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_NETWORK: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,46}[a-z0-9])?")
_MESH: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class PortPlan(msgspec.Struct, frozen=True, rename="camel"):
    """One port of a workload: `port` is what callers use at its address, `app_port` is where the application listens."""

    name: str
    port: int
    protocol: str
    app_port: int


class ExplicitPlan(msgspec.Struct, frozen=True, rename="camel"):
    """Explicit proxying: the application is told by `http_proxy` to call `127.0.0.1:<outbound_port>`."""

    outbound_port: int = PORT_OUTBOUND
    inbound_ports: dict[str, int] = {}


class WorkloadPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One workload instance: an application (an empty `command` for a gateway) and the Envoy beside it."""

    instance: str
    workload: str
    namespace: str = "default"
    service_account: str = "default"
    labels: dict[str, str] = {}
    address: str = "127.0.0.1"
    interception: Interception = "iptables"
    kind: Kind = "sidecar"
    ports: tuple[PortPlan, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = "/"
    uid: int | None = None  # None: the user that the agent runs as
    gid: int | None = None
    explicit: ExplicitPlan = ExplicitPlan()
    ready_port: int = PORT_READY

    @property
    def proxy_id(self) -> str:
        """Envoy's `node.id`: kind, address, instance and DNS domain, joined as Istio joins them."""
        domain = f"{self.namespace}.svc.{DOMAIN_SUFFIX}"
        return f"{self.kind}~{self.address}~{self.instance}.{self.namespace}~{domain}"

    @property
    def proxy_cluster(self) -> str:
        """Envoy's `node.cluster`."""
        return f"{self.workload}.{self.namespace}"


class NetworkPlan(msgspec.Struct, frozen=True, rename="camel"):
    """The mesh's own network on this host; an empty `subnet` means that no workload is intercepted by iptables."""

    subnet: str = ""
    bridge: str = ""  # empty: derived from the network's name
    name: str = ""  # what namespaces, links and chains are named after; empty: the mesh


class Plan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one agent runs."""

    mesh: str
    node: str
    trust_domain: str = "cluster.local"
    network: NetworkPlan = NetworkPlan()
    workloads: tuple[WorkloadPlan, ...] = ()

    @property
    def network_name(self) -> str:
        """What tells this mesh's namespaces, links and chains from those of another one of the same name."""
        return self.network.name or self.mesh

    def workload(self, instance: str) -> WorkloadPlan:
        """The workload of that instance name, or of that workload name where it has one instance or more (the first)."""
        for field in ("instance", "workload"):
            for workload in self.workloads:
                if getattr(workload, field) == instance:
                    return workload
        known = ", ".join(w.instance for w in self.workloads[:8]) or "none"
        raise UsageError(f"no workload {instance!r} runs here (known: {known})")

    @property
    def intercepted(self) -> tuple[WorkloadPlan, ...]:
        """The workloads that have a network namespace of their own."""
        return tuple(w for w in self.workloads if w.interception == "iptables")


def plan_from_json(content: bytes) -> Plan:
    """The plan that `content` spells, checked; raises UsageError with what to mend."""
    try:
        plan = decoded(content, Plan)
    except msgspec.DecodeError as error:
        raise UsageError(f"the agent's plan cannot be read: {error} (run `byway up` again to write it anew)") from error
    mistake = plan_mistake(plan)
    if mistake:
        raise UsageError(f"the agent's plan is wrong: {mistake}")
    return plan


def plan_mistake(plan: Plan) -> str:
    """The first thing wrong with `plan`, or an empty string."""
    if not _MESH.fullmatch(plan.mesh):
        return f"mesh name {plan.mesh!r} must be at most 32 lower-case letters, digits and hyphens"
    if plan.network.name and not _NETWORK.fullmatch(plan.network.name):
        return f"network name {plan.network.name!r} must be at most 48 lower-case letters, digits and hyphens"
    instances = [w.instance for w in plan.workloads]
    for instance in instances:
        if not _NAME.fullmatch(instance):
            return f"instance name {instance!r} must be at most 63 lower-case letters, digits, hyphens and dots"
        if instances.count(instance) > 1:
            return f"instance {instance!r} is listed twice"
    return _network_mistake(plan)


def _network_mistake(plan: Plan) -> str:
    if not plan.intercepted:
        return ""
    try:
        network = IPv4Network(plan.network.subnet)
        addresses = [IPv4Address(w.address) for w in plan.intercepted]
    except ValueError as error:
        return f"{error} (the network and the addresses of intercepted workloads must be IPv4)"
    taken: set[IPv4Address] = {network.network_address, network.network_address + 1, network.broadcast_address}
    for workload, address in zip(plan.intercepted, addresses, strict=True):
        if address not in network:
            return f"address {address} of {workload.instance} is not in the mesh's network {network}"
        if address in taken:
            return f"address {address} of {workload.instance} is taken"
        taken.add(address)
    return ""


def read_plan(path: Path) -> Plan:
    """The plan in the file at `path`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"no plan at {path} (start the mesh with `byway up`)") from error
    return plan_from_json(content)


def plan_json(plan: Plan) -> bytes:
    """The plan as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2)
