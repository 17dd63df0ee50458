"""The blueprint of a local mesh: what a mesh file means as objects of the mesh, and as the plan of the agent beside it.

Pure: who runs it, with which interpreter, on which network and from which free ports are parameters. The same file gives
the same addresses, and what a `previous` plan gave an instance that is still there, it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from byway.agent.interception.addresses import workload_addresses
from byway.agent.plan import ExplicitPlan, NetworkPlan, Plan, PortPlan, WorkloadPlan
from byway.app.meshfile import (
    PLACEHOLDER,
    Description,
    MeshGateway,
    MeshPort,
    MeshService,
    MeshVersion,
    listen_address,
    workload_name,
)
from byway.base.diagnostics import Derived, Diagnostic
from byway.kinds.document import Document
from byway.kinds.path import child
from byway.model.names import (
    ANNOTATION_APP_PORTS,
    ANNOTATION_DISCOVERY,
    ANNOTATION_INTERCEPTION,
    ANNOTATION_NODE,
    ANNOTATION_OUTBOUND_PORT,
    DEFAULT_TRUST_DOMAIN,
    LABEL_APP,
    LABEL_PROXY,
    LABEL_TLS_MODE,
    LABEL_VERSION,
    LABEL_WORKLOAD,
    PORT_READY,
)

LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - inside a namespace of its own, where the proxy takes all that arrives
LABEL_GATEWAY = "istio"
INGRESS = "ingressgateway"
"""Istio's label of its gateway, so that Gateway resources written for Istio fit."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mesh is run, and for whom."""

    node: str
    interception: Literal["iptables", "explicit"]
    folder: str
    """The folder of the mesh file."""
    python: str
    """Byway's own interpreter."""
    subnet: str = ""
    """The mesh's own network; needed where interception is by iptables."""
    uid: int | None = None
    gid: int | None = None
    env: dict[str, str] = {}
    """What every application finds in its environment besides, such as the invoking user's PATH and HOME."""
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    previous: Plan | None = None
    """The plan that a running agent has."""


class Blueprint(msgspec.Struct, frozen=True):
    """The objects of the mesh, in the order in which to store them, and the agent's plan."""

    documents: tuple[Document, ...]
    plan: Plan


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a service, as the mesh file has it."""

    name: str
    service: str
    version: str
    found: MeshService
    own: MeshVersion

    @property
    def workload(self) -> str:
        return workload_name(self.service, self.version, self.found)


def blueprint(description: Description, setting: Setting, ports: Iterator[int]) -> Derived[Blueprint | None]:
    """The blueprint of a mesh; `ports` are free ones on 127.0.0.1 (readiness of gateways takes the first)."""
    faults = _unplaceable(description, setting)
    if faults:
        return Derived(None, faults)
    file = description.file
    previous = {workload.instance: workload for workload in (setting.previous.workloads if setting.previous else ())}
    gateways = tuple(
        _gateway(name, gateway, file.namespace, setting, previous, ports) for name, gateway in file.gateways.items()
    )
    instances = _instances(description)
    addresses = _addresses(setting, [instance.name for instance in instances])
    workloads = tuple(
        _workload(instance, addresses[instance.name], file.namespace, setting, previous.get(instance.name), ports)
        for instance in instances
    )
    is_networked = setting.interception == "iptables"
    plan = Plan(
        mesh=file.mesh,
        node=setting.node,
        trust_domain=setting.trust_domain,
        network=NetworkPlan(subnet=setting.subnet if is_networked else ""),
        workloads=(*workloads, *gateways),
    )
    services = tuple(_service(name, service, description) for name, service in file.services.items())
    origins = [child("services", instance.service) for instance in instances]
    origins += [child("gateways", name) for name in file.gateways]
    modes = [*(instance.found.discovery or file.discovery for instance in instances), *("" for _ in gateways)]
    entries = tuple(
        _entry(workload, plan, description, origin, mode)
        for workload, origin, mode in zip(plan.workloads, origins, modes, strict=True)
    )
    return Derived(Blueprint((*_accounts(plan, description, origins), *services, *entries), plan))


def _unplaceable(description: Description, setting: Setting) -> tuple[Diagnostic, ...]:
    """Services whose instances would all listen on one port of the host."""
    if setting.interception == "iptables":
        return ()
    return tuple(
        Diagnostic(
            code="fixed-port",
            message=f"{name} has several instances on the fixed port {port.app_port}, and no namespaces to keep them apart",
            position=description.document.position(child("services", name)),
            hint="remove appPort and let the application listen on $PORT",
        )
        for name, service in description.file.services.items()
        for port in service.all_ports
        if port.app_port and sum(version.instances for version in service.all_versions.values()) > 1
    )


def _instances(description: Description) -> tuple[_Instance, ...]:
    return tuple(
        _Instance(
            name=f"{workload_name(name, version, service)}-{number}",
            service=name,
            version=version,
            found=service,
            own=own,
        )
        for name, service in description.file.services.items()
        for version, own in service.all_versions.items()
        for number in range(1, own.instances + 1)
    )


def _addresses(setting: Setting, names: list[str]) -> dict[str, str]:
    """The address of each instance: the one it had, else the lowest free one in the order of names."""
    if setting.interception == "explicit":
        return dict.fromkeys(names, LOOPBACK)
    before = setting.previous
    had = (
        {w.instance: w.address for w in before.intercepted}
        if before and before.network.subnet == setting.subnet
        else {}
    )
    kept = {name: had[name] for name in names if name in had}
    fresh = sorted(name for name in names if name not in kept)
    places = workload_addresses(setting.subnet, [str(number) for number in range(len(names))]).values()
    free = (place for place in places if place not in kept.values())
    return kept | dict(zip(fresh, free, strict=False))


def _workload(
    instance: _Instance,
    address: str,
    namespace: str,
    setting: Setting,
    previous: WorkloadPlan | None,
    free: Iterator[int],
) -> WorkloadPlan:
    is_explicit = setting.interception == "explicit"
    is_proxied = instance.found.proxy == "sidecar"
    before = previous if previous is not None and previous.interception == "explicit" and is_explicit else None
    ports = tuple(_port(port, before, free, is_explicit=is_explicit) for port in instance.found.all_ports)
    if not is_proxied:
        ports = tuple(PortPlan(port.name, port.app_port, port.protocol, port.app_port) for port in ports)
    bind = LOOPBACK if is_explicit else ANYWHERE
    words = _words(instance, ports, bind, setting)
    cwd = str(PurePosixPath(setting.folder, instance.own.cwd or instance.found.cwd))
    explicit, ready = ExplicitPlan(), PORT_READY
    if is_explicit:
        outbound = before.explicit.outbound_port if before else next(free)
        explicit = ExplicitPlan(outbound, {port.name: port.port for port in ports})
        ready = before.ready_port if before else next(free)
    return WorkloadPlan(
        instance=instance.name,
        workload=instance.workload,
        namespace=namespace,
        service_account=instance.found.service_account or instance.service,
        labels=_labels(instance.service, instance.version, instance.workload, is_proxied=is_proxied),
        address=address,
        interception=setting.interception,
        kind="sidecar" if is_proxied else "grpc",
        ports=ports,
        command=_command(instance.own.command or instance.found.command, words, cwd),
        env=_environment(instance, ports, bind, words, setting),
        cwd=cwd,
        uid=setting.uid,
        gid=setting.gid,
        explicit=explicit,
        ready_port=ready,
    )


def _port(port: MeshPort, before: WorkloadPlan | None, free: Iterator[int], *, is_explicit: bool) -> PortPlan:
    """In a namespace both sides have the port they ask for; without one, every port of the host is somebody's."""
    protocol = port.protocol or port.name.partition("-")[0]
    if not is_explicit:
        return PortPlan(port.name, port.port, protocol, port.app_port or port.port)
    had = next((known for known in (before.ports if before else ()) if known.name == port.name), None)
    if had is not None:
        return PortPlan(port.name, had.port, protocol, port.app_port or had.app_port)
    return PortPlan(port.name, next(free), protocol, port.app_port or next(free))


def _gateway(
    name: str,
    gateway: MeshGateway,
    namespace: str,
    setting: Setting,
    previous: dict[str, WorkloadPlan],
    free: Iterator[int],
) -> WorkloadPlan:
    address, port = listen_address(gateway.listen)
    before = previous.get(f"{name}-1")
    return WorkloadPlan(
        instance=f"{name}-1",
        workload=name,
        namespace=namespace,
        service_account=gateway.service_account or name,
        labels={LABEL_GATEWAY: INGRESS, LABEL_APP: name, LABEL_WORKLOAD: name, **gateway.labels},
        address=address,
        interception="none",
        kind="router",
        ports=(PortPlan("http", port, "http", port),),
        uid=setting.uid,
        gid=setting.gid,
        ready_port=before.ready_port if before else next(free),
    )


def _labels(app: str, version: str, workload: str, *, is_proxied: bool) -> dict[str, str]:
    name, value = (LABEL_TLS_MODE, "istio") if is_proxied else (LABEL_PROXY, "grpc")
    return {LABEL_APP: app, LABEL_VERSION: version, LABEL_WORKLOAD: workload, name: value}


def _words(instance: _Instance, ports: tuple[PortPlan, ...], bind: str, setting: Setting) -> dict[str, str]:
    """What the placeholders of the mesh file stand for."""
    return {
        "bind": bind,
        "instance": instance.name,
        "port": str(ports[0].app_port) if ports else "",
        "python": setting.python,
        "version": instance.version,
    }


def _filled(text: str, words: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: match[0][1:] if match[1] else words[match[2]], text)


def _command(command: tuple[str, ...], words: dict[str, str], cwd: str) -> tuple[str, ...]:
    program, *arguments = (_filled(word, words) for word in command)
    return (str(PurePosixPath(cwd, program)) if "/" in program else program, *arguments)


def _environment(
    instance: _Instance, ports: tuple[PortPlan, ...], bind: str, words: dict[str, str], setting: Setting
) -> dict[str, str]:
    told = {"BIND": bind, "INSTANCE": instance.name, "VERSION": instance.version}
    told |= {"PORT": words["port"]} if ports else {}
    told |= {f"PORT_{port.name.upper().replace('-', '_')}": str(port.app_port) for port in ports}
    own = {name: _filled(value, words) for name, value in (instance.found.env | instance.own.env).items()}
    return setting.env | told | own


def _service(name: str, service: MeshService, description: Description) -> Document:
    ports = [
        {"name": port.name, "port": port.port, **({"appProtocol": port.protocol} if port.protocol else {})}
        for port in service.all_ports
    ]
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": description.file.namespace},
        "spec": {"selector": {LABEL_APP: name}, "ports": ports},
    }
    return _document(body, description, child("services", name))


def _accounts(plan: Plan, description: Description, origins: list[str]) -> tuple[Document, ...]:
    """A ServiceAccount for each identity, placed where it is first used."""
    first: dict[tuple[str, str], str] = {}
    for workload, origin in zip(plan.workloads, origins, strict=True):
        first.setdefault((workload.namespace, workload.service_account), origin)
    return tuple(
        _document(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
            description,
            origin,
        )
        for (namespace, name), origin in first.items()
    )


def _entry(workload: WorkloadPlan, plan: Plan, description: Description, origin: str, discovery: str) -> Document:
    interception = "none" if workload.kind == "grpc" else workload.interception
    annotations = {ANNOTATION_NODE: plan.node, ANNOTATION_INTERCEPTION: interception}
    if workload.ports:
        annotations[ANNOTATION_APP_PORTS] = ",".join(f"{port.name}={port.app_port}" for port in workload.ports)
    if interception == "explicit":
        annotations[ANNOTATION_OUTBOUND_PORT] = str(workload.explicit.outbound_port)
    if discovery:
        annotations[ANNOTATION_DISCOVERY] = discovery
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": workload.instance, "namespace": workload.namespace, "annotations": annotations},
        "spec": {
            "address": workload.address,
            "ports": {port.name: port.port for port in workload.ports},
            "labels": dict(workload.labels),
            "serviceAccount": workload.service_account,
        },
    }
    return _document(body, description, origin)


def _document(body: dict[str, Any], description: Description, origin: str) -> Document:
    """A document whose every field is placed where the mesh file has what it was made of."""
    place = description.document.position(origin)
    return Document(body, place.file, {"": (place.line, place.column)})
