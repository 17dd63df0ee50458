"""Service → service."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.kubernetes import service as written
from byway.kinds.resource import Resource
from byway.model.labels import labels_of
from byway.model.names import service_host
from byway.model.service import Protocol, Service, ServicePort

_PROTOCOLS = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "h2c": Protocol.HTTP2,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.HTTP,
    "https": Protocol.TLS,
    "tls": Protocol.TLS,
}
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})


def service(resource: Resource) -> Derived[Service]:
    """The service; a port's protocol comes from appProtocol, else from its name (`http-web` is HTTP), else TCP.

    An unnamed single port counts as HTTP, the mesh's most common case, unless its number is one where servers speak first.
    What is not carried over TCP is left out: no proxy sees it.
    """
    spec = resource.spec
    assert isinstance(spec, written.Service)
    namespace = resource.id.namespace
    lowered = Service(
        host=service_host(resource.id.name, namespace),
        name=resource.id.name,
        namespace=namespace,
        vip="" if spec.cluster_ip == "None" else spec.cluster_ip,
        ports=tuple(
            ServicePort(port.name, port.port, port.target_port, _protocol(port))
            for port in spec.ports
            if port.protocol in ("", "TCP")
        ),
        selector=labels_of(spec.selector),
    )
    return Derived(lowered)


def _protocol(port: written.ServicePort) -> Protocol:
    word = port.app_protocol.lower() or port.name.lower()
    if word in _PROTOCOLS:
        return _PROTOCOLS[word]
    prefix = word.partition("-")[0]
    if prefix in _PROTOCOLS:
        return _PROTOCOLS[prefix]
    return Protocol.HTTP if not word and port.port not in _SERVER_FIRST else Protocol.TCP
