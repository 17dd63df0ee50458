"""An agent for static twins: takes what Envoys report, metrics and traces, and keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc

_MOST: Final = 400
"""Streams at once: each Envoy of a run has one for its metrics, and now and then one for its traces."""

_TAKEN: Final = (
    ("envoy.service.metrics.v3.MetricsService", "StreamMetrics"),
    ("opentelemetry.proto.collector.trace.v1.TraceService", "Export"),
)


@contextlib.contextmanager
def sink(path: Path) -> Iterator[Path]:
    """Listens on a Unix socket that every user may use."""
    server = grpc.server(ThreadPoolExecutor(_MOST, thread_name_prefix="sink"))
    taken = grpc.stream_unary_rpc_method_handler(_swallowed)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: taken}) for service, method in _TAKEN]
    )
    server.add_insecure_port(f"unix:{path}")
    server.start()
    path.chmod(0o666)
    try:
        yield path
    finally:
        server.stop(0.5).wait()


def _swallowed(requests: Iterator[bytes], _: Any) -> bytes:
    for _message in requests:
        pass
    return b""
