"""Sidecar → egress."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio.sidecar import Sidecar
from byway.kinds.resource import Resource
from byway.model.egress import Egress, HostPattern
from byway.model.host import full_host


def egress(resource: Resource) -> Derived[Egress]:
    """What a Sidecar lets its workloads call. `~` is no namespace, so its hosts are nobody's."""
    spec = resource.spec
    assert isinstance(spec, Sidecar)
    hosts = sorted({pattern(host, resource.id.namespace) for listener in spec.egress for host in listener.hosts})
    named = tuple(found for found in hosts if found.namespace != "~")
    return Derived(Egress(source=str(resource.id), hosts=named if spec.egress else None))


def pattern(written: str, own_namespace: str) -> HostPattern:
    """The hosts that `namespace/host` means in an object of `own_namespace`."""
    namespace, _, host = written.partition("/")
    namespace = own_namespace if namespace == "." else namespace
    return HostPattern(namespace, host if host.startswith("*") else full_host(host, namespace))
