"""The receiving end of OTLP traces: what proxies export becomes spans in the store.

A proxy may say that it is any service; it is believed as far as its certificate goes (`ServiceClaim`), and each span
carries the verified identity besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError

from byway.telemetry import wire
from byway.telemetry.sender import PeerIdentity, SenderRefusedError, spiffe_peer
from byway.telemetry.traces import Span, TraceStore

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
ServiceClaim = Callable[[str, str], bool]
"""(SPIFFE id, claimed service name) → whether that identity may call itself so."""

_SPANS_PER_EXPORT: Final = 5_000
_TEXT: Final = 256
_RESOURCE_LIMIT: Final = 32
_KINDS: Final[dict[int, Literal["server", "client"]]] = {2: "server", 3: "client"}
_ERROR: Final = 2
_KEPT: Final = frozenset(
    {
        "upstream_cluster.name",
        "peer.address",
        "user_agent",
        "guid:x-request-id",
        "http.protocol",
        "node_id",
    }
)
_OF_THE_RESOURCE: Final = frozenset({"istio.canonical_revision"})
_READ: Final = _KEPT | {"http.url", "http.method", "http.status_code", "response_flags", "error"}


def claims_own_namespace(identity: str, service: str) -> bool:
    """Whether the service lies in the identity's namespace; the default where nobody knows the workloads better."""
    _, namespace = account(identity)
    return bool(namespace) and service.endswith(f".{namespace}") and len(service) <= _TEXT


def account(identity: str) -> tuple[str, str]:
    """Service account and namespace of a SPIFFE id in Istio's form; both "" of any other."""
    parts = identity.split("/")
    is_istio = len(parts) == 7 and parts[0] == "spiffe:" and parts[3] == "ns" and parts[5] == "sa"
    return (parts[6], parts[4]) if is_istio else ("", "")


class TraceReceiver:
    """Takes the exports of all proxies."""

    def __init__(
        self,
        store: TraceStore,
        *,
        claim: ServiceClaim = claims_own_namespace,
        peer_identity: PeerIdentity = spiffe_peer,
    ) -> None:
        self._store = store
        self._claim = claim
        self._peer_identity = peer_identity

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What to register on the gRPC server that takes the proxies' connections."""
        method = grpc.unary_unary_rpc_method_handler(self.export)
        return (grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),)

    async def export(self, raw: bytes, context: Any) -> bytes:
        """One export; the empty answer means that everything was taken."""
        try:
            self.take(raw, self._peer_identity(context))
        except SenderRefusedError as refused:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refused))
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not an ExportTraceServiceRequest")
        return b""

    def take(self, raw: bytes, identity: str) -> None:
        """Stores the spans of one export by that peer."""
        n_left = _SPANS_PER_EXPORT
        for resource_spans in wire.Traces.FromString(raw).resource_spans:
            resource = {a.key: _text(a.value) for a in resource_spans.resource.attributes[:_RESOURCE_LIMIT]}
            service = self._service(resource.get("service.name", ""), identity)
            shared = {key: resource[key] for key in _OF_THE_RESOURCE & resource.keys()}
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans[:n_left]:
                    if len(span.trace_id) == 16 and len(span.span_id) == 8:
                        self._store.add(_span(span, service, identity, shared))
                n_left = max(n_left - len(scope_spans.spans), 0)

    def _service(self, claimed: str, identity: str) -> str:
        if claimed and self._claim(identity, claimed):
            return claimed
        name, namespace = account(identity)
        return f"{name}.{namespace}" if name else "unknown"


def _span(span: Any, service: str, identity: str, shared: dict[str, str]) -> Span:
    values = {a.key: _text(a.value) for a in span.attributes if a.key in _READ}
    status = values.get("http.status_code", "")
    code = int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id[:8].hex(),
        service=service,
        operation=_operation(span.name, values),
        kind=_KINDS.get(span.kind, "other"),
        start_unix_ns=span.start_time_unix_nano,
        duration_ms=max(span.end_time_unix_nano - span.start_time_unix_nano, 0) / 1e6,
        status_code=code,
        response_flags=values.get("response_flags", "-").strip("-"),
        is_error=span.status.code == _ERROR or code >= 500 or values.get("error") == "true",
        identity=identity,
        attributes=shared | {key: value for key, value in values.items() if key in _KEPT},
    )


def _operation(name: str, values: dict[str, str]) -> str:
    """The request as people write it (`GET /links`), without its query, which may hold secrets."""
    url = values.get("http.url", "")
    if not url:
        return name[:_TEXT]
    try:
        path = urlsplit(url).path
    except ValueError:  # an application may ask for anything, e.g. a broken IPv6 host
        path = ""
    return f"{values.get('http.method', '')} {path or '/'}".strip()[:_TEXT]


def _text(value: Any) -> str:
    which = value.WhichOneof("value")
    return str(getattr(value, which))[:_TEXT] if which else ""
