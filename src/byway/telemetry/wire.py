"""The messages that Envoy reports with, as far as they are read here.

The published protobufs hold neither `envoy.service.metrics.v3` nor `io.prometheus.client`, and two packages claim the
modules of OTLP with different ages of them; so the few fields in use are declared here with their numbers, in a pool of
their own. Labels and the node are declared as raw bytes (the encoding is the same): the labels on every series of
every flush are most of the cost of reading, and whoever has seen a series before needs only to compare bytes.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE: Final = "byway.wire"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "uint64": _Field.TYPE_UINT64,
    "fixed64": _Field.TYPE_FIXED64,
    "int64": _Field.TYPE_INT64,
    "int32": _Field.TYPE_INT32,
    "bool": _Field.TYPE_BOOL,
}

# Message → its fields (number, name, type); `*` marks a repeated field, `|` a member of the message's only oneof.
_MESSAGES: Final[dict[str, tuple[tuple[int, str, str], ...]]] = {
    # envoy.service.metrics.v3.StreamMetricsMessage and io.prometheus.client
    "Metrics": ((1, "identifier", "Identifier"), (2, "families", "*Family")),
    "Identifier": ((1, "node", "bytes"),),
    "Family": ((1, "name", "string"), (3, "type", "int32"), (4, "metrics", "*Metric")),
    "Metric": (
        (1, "labels", "*bytes"),
        (2, "gauge", "Scalar"),
        (3, "counter", "Scalar"),
        (7, "histogram", "Histogram"),
    ),
    "Label": ((1, "name", "string"), (2, "value", "string")),
    "Scalar": ((1, "value", "double"),),
    "Histogram": ((1, "sample_count", "uint64"), (2, "sample_sum", "double"), (3, "buckets", "*Bucket")),
    "Bucket": ((1, "cumulative_count", "uint64"), (2, "upper_bound", "double")),
    # opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest
    "Traces": ((1, "resource_spans", "*ResourceSpans"),),
    "ResourceSpans": ((1, "resource", "Resource"), (2, "scope_spans", "*ScopeSpans")),
    "Resource": ((1, "attributes", "*KeyValue"),),
    "KeyValue": ((1, "key", "string"), (2, "value", "AnyValue")),
    "AnyValue": (
        (1, "string_value", "|string"),
        (2, "bool_value", "|bool"),
        (3, "int_value", "|int64"),
        (4, "double_value", "|double"),
    ),
    "ScopeSpans": ((2, "spans", "*Span"),),
    "Span": (
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (4, "parent_span_id", "bytes"),
        (5, "name", "string"),
        (6, "kind", "int32"),
        (7, "start_time_unix_nano", "fixed64"),
        (8, "end_time_unix_nano", "fixed64"),
        (9, "attributes", "*KeyValue"),
        (15, "status", "Status"),
    ),
    "Status": ((2, "message", "string"), (3, "code", "int32")),
}

COUNTER: Final = 0
GAUGE: Final = 1
HISTOGRAM: Final = 4


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="byway/wire.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("|") for _, _, kind in fields):
            message.oneof_decl.add(name="value")
        for number, field_name, kind in fields:
            _declare(message, number, field_name, kind)
    return file


def _declare(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
    if kind.startswith("|"):
        field.oneof_index = 0
    base = kind.lstrip("*|")
    if base in _SCALARS:
        field.type = _SCALARS[base]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{base}"


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
_CLASSES: Final[dict[str, Any]] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
}
Metrics: Final = _CLASSES["Metrics"]
"""`envoy.service.metrics.v3.StreamMetricsMessage`."""
Label: Final = _CLASSES["Label"]
"""`io.prometheus.client.LabelPair`."""
Traces: Final = _CLASSES["Traces"]
"""`opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`."""


def label(raw: bytes) -> tuple[str, str]:
    """Name and value of one label."""
    pair = Label.FromString(raw)
    return pair.name, pair.value
