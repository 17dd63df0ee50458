"""The recorded messages that the pure tests read are what this Envoy sends; `BYWAY_RECORD=1` records them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from envoy.config.core.v3 import base_pb2

from byway.telemetry import wire

RECORDED = Path(__file__).parents[2] / "unit" / "telemetry" / "recorded"


async def test_the_recordings_have_the_shape_of_live_messages(pair: Any, client: Any) -> None:
    """Same series names with the same label names, same attributes of spans."""
    async with client():
        for path in ("/a", "/broken", "/nowhere", "/hop"):
            await pair.call(path)
        await pair.reports.until(
            lambda: pair.total("istio_requests_total") == 9 and pair.observatory.traces.n_spans_taken == 9
        )
    metrics = max(pair.reports.metrics, key=len)
    named = next(raw for raw in pair.reports.metrics if wire.Metrics.FromString(raw).identifier.node)
    live = {"metrics.bin": metrics, "first_metrics.bin": named, "traces.bin": b"".join(pair.reports.exports)}
    if os.environ.get("BYWAY_RECORD"):
        _record(live)
    # Of all messages together: what one of them holds depends on when the proxies flush.
    assert _series(_recorded("metrics.bin")) == set[tuple[str, tuple[str, ...]]]().union(
        *map(_series, pair.reports.metrics)
    )
    assert _attributes(_recorded("traces.bin")) == _attributes(live["traces.bin"])


def _record(live: dict[str, bytes]) -> None:
    RECORDED.mkdir(exist_ok=True)
    for name, raw in live.items():
        (RECORDED / name).write_bytes(raw if name == "traces.bin" else _without_extensions(raw))


def _without_extensions(raw: bytes) -> bytes:
    """The node lists 60 kB of Envoy's extensions, which nobody reads."""
    message = wire.Metrics.FromString(raw)
    if message.identifier.node:
        node = base_pb2.Node.FromString(message.identifier.node)
        node.ClearField("extensions")
        message.identifier.node = node.SerializeToString()
    written: bytes = message.SerializeToString()
    return written


def _recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def _series(raw: bytes) -> set[tuple[str, tuple[str, ...]]]:
    return {
        (family.name, tuple(wire.label(label)[0] for label in metric.labels))
        for family in wire.Metrics.FromString(raw).families
        for metric in family.metrics
    }


def _attributes(raw: bytes) -> set[str]:
    return {
        attribute.key
        for resource_spans in wire.Traces.FromString(raw).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
        for attribute in span.attributes
    }
