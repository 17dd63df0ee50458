"""Service: a name, a virtual address and ports in front of the workloads that a selector picks.

Fields that only kube-proxy or a cloud's balancer read are passed over; those that would change where a call goes are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from byway.kinds.hosts import cluster_ip, target_port
from byway.kinds.istio.selector import Labels
from byway.kinds.labels import dns_label
from byway.kinds.message import Check, Message, Port, Problem

HEADLESS = "None"
"""The clusterIP of a service without a virtual address."""


class ServicePort(Message, frozen=True, kw_only=True):
    """A port of the service; `target_port` (number or name, 0 absent) is the workload's. No protocol is TCP."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("port",)
    IGNORED: ClassVar[frozenset[str]] = frozenset({"nodePort"})

    name: Annotated[str, Check(dns_label)] = ""
    port: Port = 0
    target_port: Annotated[int | str, Check(target_port)] = 0
    protocol: Literal["", "TCP", "UDP", "SCTP"] = ""
    app_protocol: str = ""


class Service(Message, frozen=True, kw_only=True):
    """`cluster_ip` is empty until the service is stored, an address, or `None` (as text) for a headless one."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "externalTrafficPolicy",
            "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts",
            "healthCheckNodePort", "publishNotReadyAddresses", "trafficDistribution", "externalIPs",
            "sessionAffinityConfig",
        }
    )  # fmt: skip
    REFUSED: ClassVar[frozenset[str]] = frozenset({"externalName"})

    cluster_ip: Annotated[str, Check(cluster_ip)] = msgspec.field(default="", name="clusterIP")
    ports: tuple[ServicePort, ...] = ()
    selector: Labels = msgspec.field(default_factory=dict)
    type: Literal["", "ClusterIP", "NodePort", "LoadBalancer"] = ""
    session_affinity: Literal["", "None"] = ""

    def problems(self) -> Iterator[Problem]:
        """Ports are told apart by their names and by number and protocol."""
        names: set[str] = set()
        numbers: set[tuple[int, str]] = set()
        for index, port in enumerate(self.ports):
            if len(self.ports) > 1 and not port.name:
                yield Problem(
                    message="a service of several ports needs a name for each", hint="add name", at=f"ports[{index}]"
                )
            if port.name and port.name in names:
                yield Problem(
                    message=f'port name "{port.name}" is there twice',
                    hint="rename one of them",
                    at=f"ports[{index}].name",
                )
            key = (port.port, port.protocol or "TCP")
            if key in numbers:
                yield Problem(
                    message=f"port {port.port} is there twice", hint="remove one of them", at=f"ports[{index}].port"
                )
            names.add(port.name)
            numbers.add(key)
