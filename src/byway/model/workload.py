"""A workload instance: one running copy of an application, with the proxy beside it.

Workload and proxy are two nouns: an instance may have no proxy, and one proxy may one day serve several instances.
"""

from __future__ import annotations

import enum

import msgspec

from byway.model.labels import Labels, label
from byway.model.mesh import Discovery
from byway.model.names import LABEL_APP, LABEL_VERSION, LABEL_WORKLOAD


class Interception(enum.Enum):
    """How an application's traffic comes to its proxy."""

    IPTABLES = "iptables"
    EXPLICIT = "explicit"
    NONE = "none"


class WorkloadPort(msgspec.Struct, frozen=True):
    """A port by name: `number` is where peers reach it, `application` where the application listens."""

    name: str
    number: int
    application: int


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One instance. `is_meshed` tells whether a sidecar stands before it and terminates mutual TLS; `discovery` None: as the
    mesh has it.
    """

    instance: str
    namespace: str
    address: str
    labels: Labels
    service_account: str
    ports: tuple[WorkloadPort, ...]
    weight: int
    node: str
    interception: Interception
    outbound_port: int
    is_meshed: bool
    discovery: Discovery | None = None

    @property
    def name(self) -> str:
        """The workload that this is an instance of."""
        return label(self.labels, LABEL_WORKLOAD) or self.instance

    @property
    def app(self) -> str:
        """The application's name, as telemetry labels it."""
        return label(self.labels, LABEL_APP, "app.kubernetes.io/name") or self.name

    @property
    def version(self) -> str:
        """The version's name, as telemetry labels it; may be empty."""
        return label(self.labels, LABEL_VERSION, "app.kubernetes.io/version")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as a client reaches it; `takes_mutual_tls` unless it has no sidecar or its policy switches that off."""

    address: str
    port: int
    weight: int
    workload: str
    namespace: str
    app: str
    version: str
    service_account: str
    takes_mutual_tls: bool
