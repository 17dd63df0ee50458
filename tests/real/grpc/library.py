"""What the gRPC library itself says to resources: a channel in a process of its own, and a server that tells it what a mesh in
memory derives.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from byway.model.names import GRPC_CERTIFICATES
from byway.xds.resource import Resource

DEADLINE_S = 20.0
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
CLIENT = """
import grpc, sys
channel = grpc.insecure_channel("xds:///" + sys.argv[1])
channel.unary_unary("/a/b", bytes, bytes)(b"", timeout=float(sys.argv[2]))
"""
Told = Callable[[str, str], Resource | None]
"""The resource of a type and name."""


def answers(target: str, told: Told, last: str, folder: Path) -> dict[str, str]:
    """By type, what the library has against its resources (nothing: taken), up to the answer for `last` or a refusal.

    Raises `TimeoutError` where neither comes.
    """
    given: SimpleQueue[tuple[str, str]] = SimpleQueue()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        handler = grpc.stream_stream_rpc_method_handler(lambda asked, _: _served(asked, told, given))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        env = {**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(_bootstrap(port, folder))}
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, target, str(DEADLINE_S)], env=env, stderr=subprocess.DEVNULL
        )
        try:
            return _collected(given, last)
        finally:
            process.kill()
            process.wait(timeout=10)
            server.stop(None).wait(timeout=10)


def _collected(given: SimpleQueue[tuple[str, str]], last: str) -> dict[str, str]:
    found: dict[str, str] = {}
    end = monotonic() + DEADLINE_S
    while last not in found and not any(found.values()):
        try:
            type_url, reason = given.get(timeout=max(0.0, end - monotonic()))
        except Empty:
            raise TimeoutError(f"no answer about {last}, only about {sorted(found)}") from None
        found[type_url] = reason
    return found


def _served(asked: Iterator[bytes], told: Told, given: SimpleQueue[tuple[str, str]]) -> Iterator[bytes]:
    """One response for each set of names that is asked for; what is said to it is kept."""
    names: dict[str, frozenset[str]] = {}
    for message in asked:
        request = DiscoveryRequest.FromString(message)
        wanted = frozenset(request.resource_names)
        if request.response_nonce and request.response_nonce == _nonce(names.get(request.type_url, frozenset())):
            given.put((request.type_url, request.error_detail.message if request.HasField("error_detail") else ""))
        if names.get(request.type_url) == wanted:
            continue
        names[request.type_url] = wanted
        found = (told(request.type_url, name) for name in sorted(wanted))
        resources = [AnyMessage.FromString(r.any_bytes) for r in found if r is not None]
        response = DiscoveryResponse(
            version_info=_nonce(wanted), nonce=_nonce(wanted), type_url=request.type_url, resources=resources
        )
        yield response.SerializeToString()


def _nonce(names: frozenset[str]) -> str:
    return " ".join(sorted(names))


def _bootstrap(port: int, folder: Path) -> dict[str, object]:
    files = {"certificate_file": "chain.pem", "private_key_file": "key.pem", "ca_certificate_file": "roots.pem"}
    config = {key: str(folder / name) for key, name in files.items()}
    return {
        "xds_servers": [
            {
                "server_uri": f"127.0.0.1:{port}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": "library"},
        "certificate_providers": {
            GRPC_CERTIFICATES: {"plugin_name": "file_watcher", "config": {**config, "refresh_interval": "600s"}}
        },
    }
