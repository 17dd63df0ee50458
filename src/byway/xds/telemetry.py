"""What a proxy reports, as Envoy configuration: metrics, access log, traces.

Envoy's stats access logger counts every request, with one tag that holds what differs between requests
(`byway.model.report`); telemetry makes Istio's labels of it. A client learns its server from the metadata of endpoint and
cluster (`endpoint_metadata`, `cluster_metadata`), a server learns its client from the certificate and from one small
header that the client's sidecar writes over whatever the application sent (`source_header`). Nothing is taken from what an
application may choose freely (host, path), so the mesh's own size bounds the series.
"""

from __future__ import annotations

from typing import Final

import msgspec
from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2, grpc_service_pb2, substitution_format_string_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as log_entry_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import static_config_resource_detector_pb2
from google.protobuf import any_pb2, struct_pb2
from google.protobuf.message import Message

from byway.model import names
from byway.model.report import PEER_LENGTH, SEPARATOR, TAG, Peer, ReporterSide, Security, service_text

METADATA_NAMESPACE: Final = "istio"
"""Where endpoints and clusters carry what the labels need."""

SOURCE_HEADER: Final = "x-byway-source"
"""How a client's sidecar names its workload to the server's sidecar."""

_SERIES_LIMIT: Final = 2000
"""How many counters (and histograms) one logger may grow; Envoy counts what it drops in `server.stats_overflow`."""

_ISTIO_TEXT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)


class Reporter(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy that reports: which side of the request it is, who it is, and how the connection is secured.

    `security` is `mutual_tls` or `none` on an inbound filter chain and `unknown` at the source, as Istio has it. `service` is
    the text of the one service that the filter chain serves; empty where only a request's cluster tells.
    """

    reporter: ReporterSide
    peer: Peer
    security: Security = "unknown"
    service: str = ""
    access_log_path: str = ""


def http_access_logs(reporter: Reporter) -> list[accesslog_pb2.AccessLog]:
    """The access loggers of an HTTP connection manager: Istio's metrics, and the text log where a path is set."""
    return [_stats_log(_http_stats(reporter)), *_text_logs(reporter)]


def tcp_access_logs(reporter: Reporter) -> list[accesslog_pb2.AccessLog]:
    """The access loggers of a tcp_proxy: Istio's TCP metrics, and the text log where a path is set.

    They need `tcp_access_log_options` on the same tcp_proxy, or opened connections are counted only when they end.
    """
    return [
        _stats_log(_tcp_opened(reporter), _or(_types("TcpUpstreamConnected"), _never_connected())),
        _stats_log(_tcp_closed(reporter), _types("TcpConnectionEnd")),
        *_text_logs(reporter, _types("TcpConnectionEnd")),
    ]


def tcp_access_log_options() -> tcp_proxy_pb2.TcpProxy.TcpAccessLogOptions:
    """Has the tcp_proxy log a connection when its upstream is connected, too."""
    return tcp_proxy_pb2.TcpProxy.TcpAccessLogOptions(flush_access_log_on_connected=True)


def endpoint_metadata(peer: Peer) -> base_pb2.Metadata:
    """What an endpoint carries about its workload, for the labels `destination_*` at the source."""
    return _metadata("peer", peer.text)


def cluster_metadata(host: str, name: str, namespace: str) -> base_pb2.Metadata:
    """What a cluster carries about its service: outbound the one called, inbound the one that the workload serves."""
    return _metadata("service", service_text(host, name, namespace))


def source_header(peer: Peer) -> base_pb2.HeaderValueOption:
    """Names this workload to the server's sidecar; belongs in `request_headers_to_add` of the outbound routes."""
    header = base_pb2.HeaderValue(key=SOURCE_HEADER, value=_literal(peer.text))
    return base_pb2.HeaderValueOption(
        header=header, append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )


def source_filters(*, is_trusted: bool) -> tuple[hcm_pb2.HttpFilter, ...]:
    """What an inbound chain needs so that the header is true: nothing where a sidecar with a certificate wrote it.

    In plain text anybody may have written it: it is taken off, by the first filter of the chain.
    """
    if is_trusted:
        return ()
    mutation = header_mutation_pb2.HeaderMutation()
    mutation.mutations.request_mutations.add(remove=SOURCE_HEADER)
    return (hcm_pb2.HttpFilter(name="envoy.filters.http.header_mutation", typed_config=_packed(mutation)),)


def tracing(peer: Peer, sampling_percent: float) -> hcm_pb2.HttpConnectionManager.Tracing:
    """Traces of an HTTP connection manager, sent over OTLP to the agent.

    A proxy that traces writes itself into `traceparent`, so the span of the next one becomes its child, and the
    application that passes `traceparent` on makes its calls children of that. Who the proxy is stands in the resource:
    a tag is built for every request, also for those that are not sampled.
    """
    exporter = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=names.AGENT_CLUSTER),
    )
    exporter.timeout.FromMilliseconds(2000)
    resource = static_config_resource_detector_pb2.StaticConfigResourceDetectorConfig(
        attributes={
            "istio.canonical_service": peer.service,
            "istio.canonical_revision": peer.revision,
            "istio.namespace": peer.namespace,
        }
    )
    detector = extension_pb2.TypedExtensionConfig(
        name="envoy.tracers.opentelemetry.resource_detectors.static_config", typed_config=_packed(resource)
    )
    config = opentelemetry_pb2.OpenTelemetryConfig(
        grpc_service=exporter,
        service_name=f"{peer.app or peer.workload}.{peer.namespace}",
        resource_detectors=[detector],
    )
    message = hcm_pb2.HttpConnectionManager.Tracing(
        provider=http_tracer_pb2.Tracing.Http(name="envoy.tracers.opentelemetry", typed_config=_packed(config)),
    )
    message.client_sampling.value = 100
    message.random_sampling.value = min(max(sampling_percent, 0.0), 100.0)
    message.overall_sampling.value = 100
    return message


def _http_stats(reporter: Reporter) -> stats_pb2.Config:
    tags = [_report(reporter)]
    config = _scope()
    counter = config.counters.add(stat=stats_pb2.Config.Stat(name="requests_total", tags=tags))
    counter.value_fixed.value = 1
    duration = stats_pb2.Config.Stat(name="request_duration_milliseconds", tags=tags)
    config.histograms.add(stat=duration, unit=stats_pb2.Config.Histogram.Milliseconds, value_format="%DURATION%")
    if reporter.reporter == "destination":
        # Both sides see the same sizes: the server's sidecar measures them, telemetry shows them under both.
        for name, value in (("request_bytes", "%BYTES_RECEIVED%"), ("response_bytes", "%BYTES_SENT%")):
            stat = stats_pb2.Config.Stat(name=name, tags=tags)
            config.histograms.add(stat=stat, unit=stats_pb2.Config.Histogram.Bytes, value_format=value)
    return config


def _tcp_opened(reporter: Reporter) -> stats_pb2.Config:
    config = _scope()
    stat = stats_pb2.Config.Stat(name="tcp_connections_opened_total", tags=[_report(reporter)])
    config.counters.add(stat=stat).value_fixed.value = 1
    return config


def _tcp_closed(reporter: Reporter) -> stats_pb2.Config:
    tags = [_report(reporter)]
    config = _scope()
    closed = config.counters.add(stat=stats_pb2.Config.Stat(name="tcp_connections_closed_total", tags=tags))
    closed.value_fixed.value = 1
    for name, value in (("tcp_sent_bytes_total", "%BYTES_SENT%"), ("tcp_received_bytes_total", "%BYTES_RECEIVED%")):
        config.counters.add(stat=stats_pb2.Config.Stat(name=name, tags=tags), value_format=value)
    return config


def _report(reporter: Reporter) -> stats_pb2.Config.Tag:
    """The tag of `byway.model.report`; Envoy writes nothing where it knows nothing.

    In plain text the header is not read at all: a request that Envoy answers before the first filter still has it. What is
    known beforehand is written down: each operator is evaluated for each metric of each request.
    """
    if reporter.reporter == "source":
        others = (f"%UPSTREAM_METADATA({METADATA_NAMESPACE}:peer)%", "%UPSTREAM_PEER_URI_SAN%")
    elif reporter.security == "mutual_tls":
        others = ("%DOWNSTREAM_PEER_URI_SAN%", f"%REQ({SOURCE_HEADER}):{PEER_LENGTH}%")
    else:
        others = ("", "")
    parts = (
        reporter.reporter,
        reporter.security,
        "%RESPONSE_CODE%",
        "%RESPONSE_FLAGS%",
        "%GRPC_STATUS_NUMBER%",
        _literal(reporter.service) or f"%CLUSTER_METADATA({METADATA_NAMESPACE}:service)%",
        *others,
    )
    return stats_pb2.Config.Tag(name=TAG, value_format=SEPARATOR.join(parts))


def _literal(text: str) -> str:
    """A text inside a format, where a percent sign would start an operator."""
    return text.replace("%", "%%")


def _scope() -> stats_pb2.Config:
    """An empty logger in the scope `istio`.

    Envoy 1.40 deprecates `stat_prefix` for `stats_scope` (field 6, envoy.type.v3.Scope), which the published protobufs
    do not have yet: it is written as the bytes that they will produce.
    """
    limit = _length_delimited(1, _varint(1, _SERIES_LIMIT))
    histogram_limit = _length_delimited(3, _varint(1, _SERIES_LIMIT))
    scope = limit + histogram_limit + _length_delimited(5, b"istio")
    config = stats_pb2.Config()
    config.MergeFromString(_length_delimited(6, scope))
    return config


def _length_delimited(field: int, content: bytes) -> bytes:
    assert len(content) < 128, "the length is one byte"
    return bytes([field << 3 | 2, len(content)]) + content


def _varint(field: int, value: int) -> bytes:
    encoded = bytearray([field << 3])
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _stats_log(
    config: stats_pb2.Config, condition: accesslog_pb2.AccessLogFilter | None = None
) -> accesslog_pb2.AccessLog:
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.stats", filter=condition, typed_config=_packed(config))


def _text_logs(
    reporter: Reporter, condition: accesslog_pb2.AccessLogFilter | None = None
) -> list[accesslog_pb2.AccessLog]:
    if not reporter.access_log_path:
        return []
    text = substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string=_ISTIO_TEXT)
    )
    config = file_pb2.FileAccessLog(path=reporter.access_log_path, log_format=text)
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.file", filter=condition, typed_config=_packed(config))]


def _types(*types: str) -> accesslog_pb2.AccessLogFilter:
    values = [log_entry_pb2.AccessLogType.Value(name) for name in types]
    return accesslog_pb2.AccessLogFilter(log_type_filter=accesslog_pb2.LogTypeFilter(types=values))


def _never_connected() -> accesslog_pb2.AccessLogFilter:
    """The end of a connection that found no upstream: it was opened all the same."""
    flags = accesslog_pb2.ResponseFlagFilter(flags=["UH", "UF", "UO", "NR", "NC"])
    both = accesslog_pb2.AndFilter(
        filters=[_types("TcpConnectionEnd"), accesslog_pb2.AccessLogFilter(response_flag_filter=flags)]
    )
    return accesslog_pb2.AccessLogFilter(and_filter=both)


def _or(*filters: accesslog_pb2.AccessLogFilter) -> accesslog_pb2.AccessLogFilter:
    return accesslog_pb2.AccessLogFilter(or_filter=accesslog_pb2.OrFilter(filters=filters))


def _metadata(key: str, text: str) -> base_pb2.Metadata:
    value = struct_pb2.Struct(fields={key: struct_pb2.Value(string_value=text)})
    return base_pb2.Metadata(filter_metadata={METADATA_NAMESPACE: value})


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed
