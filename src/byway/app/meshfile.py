"""`byway.yaml`: a mesh of one's own local processes, described in one file.

    mesh: shop                        # its name; state, network and certificates are kept by it
    namespace: default                # of all services (this is the default)
    discovery: eager                  # sidecars are given all services at their start (else as MeshConfig says)
    services:
      link-service:
        port: 8080                    # short for ports: [{name: http, port: 8080}]
        command: [./link-service]     # a word with a slash in it is a path, seen from `cwd`
        env: {LOG: info}
        cwd: ./links                  # seen from this file's folder, which is the default
        serviceAccount: link-service  # the identity (this is the default)
        proxy: grpc                   # no Envoy: the application's gRPC library is a client of the mesh itself
        discovery: lazy               # this one's sidecars alone: a service when it is first called
        versions:                     # or `instances: 2`, and `version: v1` for the label
          stable: {instances: 2}
          canary: {instances: 1, env: {LOG: debug}}
    gateways:
      ingress: {listen: "127.0.0.1:8080"}
    resources: [./gateway.yaml]       # applied when the mesh starts
    load: {url: "http://127.0.0.1:8080", rate: 20}

A port's `port` is what others call; `appPort` is where the application listens, where that is fixed and another one. The
application is told by `PORT` (`PORT_<NAME>` for each port), `BIND`, `INSTANCE` and `VERSION` in its environment, and
`${port}`, `${bind}`, `${instance}`, `${version}` and `${python}` (Byway's own interpreter) stand for the same in its
command and environment; `$${` is a plain `${`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

import msgspec

from byway.base.diagnostics import Derived, Diagnostic, Position
from byway.kinds.document import Document
from byway.kinds.finding import Findings
from byway.kinds.istio.selector import Labels
from byway.kinds.labels import dns_label, label_value, shown
from byway.kinds.message import Between, Check, Message, Port, Problem
from byway.kinds.path import child
from byway.kinds.reader import FAILED
from byway.kinds.schema import message
from byway.kinds.suggestion import closest
from byway.kinds.text import documents

PLACEHOLDERS: Final = ("bind", "instance", "port", "python", "version")
PLACEHOLDER: Final = re.compile(r"\$(\$?)\{([a-z]+)\}")
"""Group 1 is a `$` where the placeholder is escaped. Names in capitals are left to the application's own shell."""
DEFAULT_VERSION: Final = "v1"
_MOST_INSTANCES: Final = 100
_MOST_MESH_NAME: Final = 32
_MOST_INSTANCE_NAME: Final = 63
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _placeholders(value: str) -> Problem | None:
    if "\0" in value:
        return Problem(message="has a zero byte in it", hint="remove it")
    for match in PLACEHOLDER.finditer(value):
        if not match[1] and match[2] not in PLACEHOLDERS:
            hint = f"{closest(match[2], PLACEHOLDERS)}; write $${{{match[2]}}} to pass it on as it stands"
            return Problem(message=f"nothing is known by the name {match[0]}", hint=hint)
    return None


def _name(value: str) -> Problem | None:
    return dns_label(value) if value else Problem(message="a name is empty", hint="write one")


def _env_name(value: str) -> Problem | None:
    if _ENV_NAME.fullmatch(value):
        return None
    return Problem(message=f"{shown(value)} is no name of a variable", hint="use letters, digits and _")


def _mesh_name(value: str) -> Problem | None:
    if len(value) > _MOST_MESH_NAME:
        return Problem(message=f"{shown(value)} is longer than {_MOST_MESH_NAME} characters", hint="shorten it")
    return _name(value)


def _listen(value: str) -> Problem | None:
    try:
        listen_address(value)
    except ValueError:
        return Problem(message=f"{shown(value)} is no address to listen on", hint='write it as "127.0.0.1:8080"')
    return None


def _url(value: str) -> Problem | None:
    if value.startswith("http://") and urlsplit(value).netloc:
        return None
    return Problem(message=f"{shown(value)} is no http:// URL", hint='write it as "http://127.0.0.1:8080"')


Words = tuple[Annotated[str, Check(_placeholders)], ...]
Environment = dict[Annotated[str, Check(_env_name)], Annotated[str, Check(_placeholders)]]
Name = Annotated[str, Check(_name)]
Instances = Annotated[int, Between(1, _MOST_INSTANCES)]
DiscoveryMode = Literal["", "lazy", "eager"]


class MeshPort(Message, frozen=True, kw_only=True):
    """A port of a service. Its protocol is what the name begins with (`http`, `grpc`, `tcp`), or `protocol`."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("port",)

    name: Name = "http"
    port: Port = 0
    app_port: Port | None = None
    protocol: Literal["", "http", "http2", "grpc", "tcp", "tls"] = ""


class MeshVersion(Message, frozen=True, kw_only=True):
    """What one version of a service has of its own; the environment is added to the service's."""

    instances: Instances = 1
    command: Words = ()
    env: Environment = msgspec.field(default_factory=dict)
    cwd: str = ""


class MeshService(Message, frozen=True, kw_only=True):
    """A service and its processes."""

    ONEOFS: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("port", "ports"),
        ("versions", "instances"),
        ("versions", "version"),
    )
    port: Port | None = None
    ports: tuple[MeshPort, ...] = ()
    command: Words = ()
    env: Environment = msgspec.field(default_factory=dict)
    cwd: str = ""
    service_account: Annotated[str, Check(dns_label)] = ""
    proxy: Literal["sidecar", "grpc"] = "sidecar"
    discovery: DiscoveryMode = ""
    instances: Instances = 1
    version: Annotated[str, Check(label_value), Check(_name)] = DEFAULT_VERSION
    versions: dict[Annotated[str, Check(label_value), Check(_name)], MeshVersion] = msgspec.field(default_factory=dict)

    def problems(self) -> Iterator[Problem]:
        """Something must be run, and be reachable by ports that are told apart."""
        for name, version in self.versions.items() or (("", MeshVersion()),):
            if not (version.command or self.command):
                at = f"versions.{name}" if name else "command"
                yield Problem(code="missing-field", message="is missing", hint="say what to run", at=at)
        for field in ("name", "port", "app_port"):
            seen: set[object] = set()
            for index, port in enumerate(self.ports):
                value = getattr(port, field)
                if value is not None and value in seen:
                    yield Problem(message=f"{value} is there twice", hint="change one", at=f"ports[{index}]")
                seen.add(value)

    @property
    def all_ports(self) -> tuple[MeshPort, ...]:
        """The ports, the short form spelled out."""
        return self.ports or ((MeshPort(port=self.port),) if self.port else ())

    @property
    def all_versions(self) -> dict[str, MeshVersion]:
        """The versions, the short form spelled out."""
        return self.versions or {self.version: MeshVersion(instances=self.instances)}


class MeshGateway(Message, frozen=True, kw_only=True):
    """A way in: an Envoy without an application, in the host's own network. Gateway resources select its labels."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("listen",)

    listen: Annotated[str, Check(_listen)] = ""
    service_account: Annotated[str, Check(dns_label)] = ""
    labels: Labels = msgspec.field(default_factory=dict)


class MeshLoad(Message, frozen=True, kw_only=True):
    """The demo's load: where it goes, and how many requests a second."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("url",)

    url: Annotated[str, Check(_url)] = ""
    rate: Annotated[float, Between(0.1, 2_000)] = 20.0


class MeshFile(Message, frozen=True, kw_only=True):
    """The whole file."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("mesh", "services")

    mesh: Annotated[str, Check(_mesh_name)] = ""
    namespace: Name = "default"
    discovery: DiscoveryMode = ""
    services: dict[Name, MeshService] = msgspec.field(default_factory=dict)
    gateways: dict[Name, MeshGateway] = msgspec.field(default_factory=dict)
    resources: tuple[str, ...] = ()
    load: MeshLoad | None = None

    def problems(self) -> Iterator[Problem]:
        """Every instance has a name of its own, and every gateway an address."""
        seen: dict[str, str] = {}
        for path, instance in _instance_names(self):
            if len(instance) > _MOST_INSTANCE_NAME:
                message = f"instance {instance} has a name of more than {_MOST_INSTANCE_NAME} characters"
                yield Problem(message=message, hint="shorten the service's name", at=path)
            elif instance in seen:
                yield Problem(
                    message=f"instance {instance} is also one of {seen[instance]}", hint="rename one", at=path
                )
            seen[instance] = path
        listens: set[str] = set()
        for name, gateway in self.gateways.items():
            if gateway.listen in listens:
                yield Problem(message=f"{gateway.listen} is taken", hint="change one", at=child("gateways", name))
            listens.add(gateway.listen)


class Description(msgspec.Struct, frozen=True):
    """A mesh file and the document that it was read from, for the places of what is in it."""

    file: MeshFile
    document: Document


def description(text: str | bytes, file: str) -> Derived[Description | None]:
    """What `text` describes; None where it has an error."""
    read = documents(text, file)
    if read.has_errors:
        return Derived(None, read.diagnostics)
    if len(read.value) != 1:
        found = f"has {len(read.value)} documents" if read.value else "is empty"
        position = read.value[1].position("") if read.value else Position(file, 1, 1)
        problem = Diagnostic(
            code="invalid-mesh-file",
            message=f"the file {found}",
            position=position,
            hint="write one document, and list files of resources under `resources:`",
        )
        return Derived(None, (*read.diagnostics, problem))
    document = read.value[0]
    findings = Findings()
    found = message(MeshFile, document.body, "", findings)
    # The file's fields stand at the top of the document, where no path leads on with a dot.
    placed = Findings([(path.removeprefix("."), problem) for path, problem in findings.found])
    diagnostics = placed.diagnostics(document, "")
    if found is FAILED or findings.has_errors:
        return Derived(None, diagnostics)
    return Derived(Description(found, document), diagnostics)


def listen_address(text: str) -> tuple[str, int]:
    """The IP address and the port in `text`; ValueError where it is not both."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    return str(ipaddress.IPv4Address(host)), int(port)


def workload_name(service: str, version: str, found: MeshService) -> str:
    """A version of a service, as a workload; a service without `versions` is one workload."""
    return f"{service}-{version}" if found.versions else service


def _instance_names(file: MeshFile) -> Iterator[tuple[str, str]]:
    for name, service in file.services.items():
        for version, found in service.all_versions.items():
            for number in range(1, found.instances + 1):
                yield child("services", name), f"{workload_name(name, version, service)}-{number}"
    for name in file.gateways:
        yield child("gateways", name), f"{name}-1"
