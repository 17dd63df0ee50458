"""MeshConfig: what holds for the whole mesh unless something nearer says otherwise. The field names are Istio's."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from byway.kinds.header import log_path
from byway.kinds.hosts import trust_domain
from byway.kinds.istio.http_retry import HTTPRetry
from byway.kinds.labels import dns_label
from byway.kinds.message import Between, Check, Message, Span, SpanOrOff


class OutboundTrafficPolicy(Message, frozen=True, kw_only=True):
    """What happens to calls to hosts that the mesh does not know."""

    MESSAGE: ClassVar[str] = "istio.mesh.v1alpha1.MeshConfig.OutboundTrafficPolicy"

    mode: Literal["", "REGISTRY_ONLY", "ALLOW_ANY"] = ""


class Tracing(Message, frozen=True, kw_only=True):
    """The share of requests that are traced, in percent; 0 is Istio's "not set"."""

    MESSAGE: ClassVar[str] = "istio.mesh.v1alpha1.Tracing"

    sampling: Annotated[float, Between(0, 100)] = 0.0


class ProxyConfig(Message, frozen=True, kw_only=True):
    """What every proxy starts with."""

    MESSAGE: ClassVar[str] = "istio.mesh.v1alpha1.ProxyConfig"

    tracing: Tracing | None = None


class MeshConfig(Message, frozen=True, kw_only=True):
    """`default_http_timeout` and `discovery` are Byway's own: Istio has no timeout for the whole mesh, and no choice of when
    a sidecar is told of a service.
    """

    MESSAGE: ClassVar[str] = "istio.mesh.v1alpha1.MeshConfig"

    default_http_retry_policy: HTTPRetry | None = None
    default_http_timeout: SpanOrOff | None = None
    access_log_file: Annotated[str, Check(log_path)] = ""
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    trust_domain: Annotated[str, Check(trust_domain)] = ""
    root_namespace: Annotated[str, Check(dns_label)] = ""
    enable_tracing: bool = False
    default_config: ProxyConfig | None = None
    connect_timeout: Span | None = None
    discovery: Literal["", "lazy", "eager"] = ""
