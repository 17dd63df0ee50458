"""WorkloadEntry → workload."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.resource import Resource
from byway.model.labels import labels_of
from byway.model.mesh import Discovery
from byway.model.names import (
    ANNOTATION_APP_PORTS,
    ANNOTATION_DISCOVERY,
    ANNOTATION_INTERCEPTION,
    ANNOTATION_NODE,
    ANNOTATION_OUTBOUND_PORT,
    LABEL_TLS_MODE,
)
from byway.model.workload import Interception, Workload, WorkloadPort


def workload(resource: Resource) -> Derived[Workload]:
    """The instance that a WorkloadEntry describes; its annotations say how its traffic is intercepted."""
    spec = resource.spec
    assert isinstance(spec, WorkloadEntry)
    labels = labels_of({**resource.labels, **spec.labels})
    application = _application_ports(resource.annotations.get(ANNOTATION_APP_PORTS, ""))
    interception = resource.annotations.get(ANNOTATION_INTERCEPTION, Interception.IPTABLES.value)
    discovery = resource.annotations.get(ANNOTATION_DISCOVERY, "")
    entry = Workload(
        instance=resource.id.name,
        namespace=resource.id.namespace,
        address=spec.address,
        labels=labels,
        service_account=spec.service_account or "default",
        ports=tuple(
            WorkloadPort(name, number, application.get(name, number)) for name, number in sorted(spec.ports.items())
        ),
        weight=spec.weight or 1,
        node=resource.annotations.get(ANNOTATION_NODE, ""),
        interception=Interception(interception)
        if interception in Interception._value2member_map_
        else Interception.IPTABLES,
        outbound_port=int(resource.annotations.get(ANNOTATION_OUTBOUND_PORT, "0") or "0"),
        is_meshed=dict(labels).get(LABEL_TLS_MODE) == "istio",
        discovery=Discovery(discovery) if discovery in Discovery._value2member_map_ else None,
    )
    return Derived(entry)


def _application_ports(annotation: str) -> dict[str, int]:
    pairs = (pair.partition("=") for pair in annotation.split(",") if pair)
    return {name.strip(): int(port) for name, _, port in pairs if port.strip().isdigit()}
