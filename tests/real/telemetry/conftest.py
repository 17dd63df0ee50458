"""Two sidecars in one real Envoy: an outbound and two inbound listeners, an application, and a collector for what it reports."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import envoy
import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.metrics.v3 import metrics_service_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format, message

from byway.xds import telemetry

KNOWN_TYPES = (metrics_service_pb2, router_pb2, tls_pb2, http_protocol_options_pb2)
"""Imported so that the JSON parser finds their messages."""

CLIENT = "spiffe://cluster.local/ns/default/sa/web"
SERVER = "spiffe://cluster.local/ns/default/sa/links"
WEB = telemetry.Peer(workload="web", namespace="default", app="web", version="v1", principal=CLIENT)
LINKS = telemetry.Peer(workload="links-stable", namespace="default", app="links", version="stable", principal=SERVER)
WAIT_S = 20.0


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Collector:
    """What an Envoy sent, as bytes: metrics streams and trace exports."""

    def __init__(self) -> None:
        self.metrics: list[bytes] = []
        self.traces: list[bytes] = []
        self.changed = asyncio.Condition()

    async def stream_metrics(self, messages: AsyncIterator[bytes], _: Any) -> bytes:
        async for sent in messages:
            self.metrics.append(sent)
            async with self.changed:
                self.changed.notify_all()
        return b""

    async def export(self, sent: bytes, _: Any) -> bytes:
        self.traces.append(sent)
        async with self.changed:
            self.changed.notify_all()
        return b""

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        return [
            grpc.method_handlers_generic_handler(
                "envoy.service.metrics.v3.MetricsService",
                {"StreamMetrics": grpc.stream_unary_rpc_method_handler(self.stream_metrics)},
            ),
            grpc.method_handlers_generic_handler(
                "opentelemetry.proto.collector.trace.v1.TraceService",
                {"Export": grpc.unary_unary_rpc_method_handler(self.export)},
            ),
        ]

    async def until(self, holds: Any) -> None:
        """Waits until `holds()` after something has arrived."""
        async with asyncio.timeout(WAIT_S), self.changed:
            await self.changed.wait_for(holds)


class Sidecars:
    """The ports of a running pair."""

    def __init__(self, directory: Path, collector: Collector) -> None:
        self.directory = directory
        self.collector = collector
        self.outbound, self.inbound, self.plain, self.tcp = (free_port() for _ in range(4))
        self.app_port = 0
        self.seen: list[dict[str, str]] = []

    def request(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=10, trust_env=False)


def certificate(directory: Path, name: str, uri: str, issuer: Any = None) -> Any:
    """Writes `name`.pem and `name`.key; self-signed as a root where there is no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
    )
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (directory / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made, key


def tls(directory: Path, name: str, *, is_server: bool) -> dict[str, Any]:
    kind = "DownstreamTlsContext" if is_server else "UpstreamTlsContext"
    context: dict[str, Any] = {
        "@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}",
        "common_tls_context": {
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(directory / f"{name}.pem")},
                    "private_key": {"filename": str(directory / f"{name}.key")},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": str(directory / "root.pem")}},
        },
    }
    if is_server:
        context["require_client_certificate"] = True
    return {"name": "tls", "typed_config": context}


def as_json(value: message.Message) -> Any:
    return json_format.MessageToDict(value, preserving_proto_field_name=True)


def http_filter_chain(reporter: telemetry.Reporter, cluster: str, filters: list[Any], routes: Any) -> dict[str, Any]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": cluster,
        "tracing": as_json(telemetry.tracing(reporter.peer, 100)),
        "http_filters": [
            *(as_json(f) for f in filters),
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            },
        ],
        "route_config": {
            "request_headers_to_add": [as_json(telemetry.source_header(reporter.peer))]
            if reporter.reporter == "source"
            else [],
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
    }
    return {"filters": [{"name": "hcm", "typed_config": manager}]}


def listener(name: str, port: int, direction: str, chain: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "traffic_direction": direction,
        "filter_chains": [chain],
    }


def endpoint(port: int, metadata: Any = None) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"endpoint": {"address": address}} | ({"metadata": as_json(metadata)} if metadata else {})


def cluster(name: str, endpoints: list[Any], **more: Any) -> dict[str, Any]:
    load = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": load} | more


HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}

def bootstrap(pair: Sidecars) -> bootstrap_pb2.Bootstrap:
    folder = pair.directory
    source = telemetry.Reporter(reporter="source", peer=WEB, access_log_path=str(folder / "access.log"))
    trusted = telemetry.Reporter(reporter="destination", peer=LINKS, security="mutual_tls")
    plain = telemetry.Reporter(reporter="destination", peer=LINKS, security="none")
    service = telemetry.cluster_metadata("links.default.svc.cluster.local", "links", "default")
    to_app = [{"match": {"prefix": "/"}, "route": {"cluster": "inbound", "timeout": "5s"}}]
    out = [
        {"match": {"prefix": "/nowhere"}, "route": {"cluster": "empty"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "outbound", "timeout": "5s"}},
    ]
    inbound_chain = http_filter_chain(trusted, "in", [telemetry.source_filter(is_trusted=True)], to_app)
    inbound_chain["transport_socket"] = tls(folder, "server", is_server=True)
    tcp_chain = {
        "filters": [
            {
                "name": "tcp",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "tcp",
                    "cluster": "tcp-app",
                    "access_log": [],
                    "access_log_options": as_json(telemetry.tcp_access_log_options()),
                },
            }
        ]
    }
    outbound_tls = tls(folder, "client", is_server=False)
    document = {
        "node": {"id": "sidecar~127.0.0.1~web-1.default~default.svc.cluster.local", "cluster": "web.default"},
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "static_resources": {
            "listeners": [
                listener("out", pair.outbound, "OUTBOUND", http_filter_chain(source, "out", [], out)),
                listener("in", pair.inbound, "INBOUND", inbound_chain),
                listener(
                    "plain",
                    pair.plain,
                    "INBOUND",
                    http_filter_chain(plain, "plain", [telemetry.source_filter(is_trusted=False)], to_app),
                ),
                listener("tcp", pair.tcp, "OUTBOUND", tcp_chain),
            ],
            "clusters": [
                cluster(
                    "outbound",
                    [endpoint(pair.inbound, telemetry.endpoint_metadata(LINKS))],
                    metadata=as_json(service),
                    transport_socket=outbound_tls,
                    typed_extension_protocol_options=HTTP2,
                ),
                cluster("empty", [], metadata=as_json(service)),
                cluster("inbound", [endpoint(pair.app_port)], metadata=as_json(service)),
                cluster(
                    "tcp-app",
                    [endpoint(pair.app_port, telemetry.endpoint_metadata(LINKS))],
                    metadata=as_json(service),
                ),
                cluster(
                    "byway-agent",
                    [{"endpoint": {"address": {"pipe": {"path": str(folder / "agent.sock")}}}}],
                    typed_extension_protocol_options=HTTP2,
                ),
            ],
        },
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"contains": "istio"}]}}},
        "stats_flush_interval": "0.5s",
        "stats_sinks": [
            {
                "name": "envoy.stat_sinks.metrics_service",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
                    "transport_api_version": "V3",
                    "emit_tags_as_labels": True,
                    "histogram_emit_mode": "HISTOGRAM",
                    "grpc_service": {"envoy_grpc": {"cluster_name": "byway-agent"}},
                },
            }
        ],
    }
    made = json_format.ParseDict(document, bootstrap_pb2.Bootstrap())
    made.node.metadata.update({"EPOCH": "e1", "INSTANCE": "web-1", "NAMESPACE": "default", "WORKLOAD": "web"})
    _add_access_logs(made, {"out": source, "in": trusted, "plain": plain, "tcp": source})
    return made


def _add_access_logs(made: bootstrap_pb2.Bootstrap, reporters: dict[str, telemetry.Reporter]) -> None:
    """JSON cannot carry the fields that the published protobufs lack, so the loggers are added to the messages."""
    for each in made.static_resources.listeners:
        packed = each.filter_chains[0].filters[0].typed_config
        is_tcp = packed.Is(tcp_proxy_pb2.TcpProxy.DESCRIPTOR)
        config = tcp_proxy_pb2.TcpProxy() if is_tcp else http_connection_manager_pb2.HttpConnectionManager()
        packed.Unpack(config)
        logs = telemetry.tcp_access_logs if is_tcp else telemetry.http_access_logs
        config.access_log.extend(logs(reporters[each.name]))
        packed.Pack(config)


@contextlib.asynccontextmanager
async def application(pair: Sidecars) -> AsyncIterator[None]:
    """Answers every request; `/hop` first calls itself through the outbound listener and passes the trace headers on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
                path = first.split(" ")[1]
                pair.seen.append({":path": path, **headers})
                if path == "/hop":
                    passed = {k: v for k, v in headers.items() if k in ("traceparent", "tracestate", "x-request-id")}
                    async with pair.request() as client:
                        await client.get(f"http://127.0.0.1:{pair.outbound}/leaf", headers=passed)
                status = "503 Unavailable" if path == "/broken" else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok".encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pair.app_port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


@contextlib.asynccontextmanager
async def running(pair: Sidecars) -> AsyncIterator[None]:
    """The Envoy itself, ready to serve, and gone afterwards."""
    config = pair.directory / "bootstrap.pb"
    config.write_bytes(bootstrap(pair).SerializeToString())
    binary = next(Path(p) / "_bin" / "envoy" for p in envoy.__path__ if (Path(p) / "_bin" / "envoy").exists())
    log = (pair.directory / "envoy.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        str(binary), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", stdout=log, stderr=log
    )
    try:
        async with asyncio.timeout(WAIT_S):
            await _listening(pair.directory / "admin.sock", process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
        log.close()


async def _listening(admin: Path, process: asyncio.subprocess.Process) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(admin), retries=0)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/ready")).status_code == 200:
                    return
            await asyncio.sleep(0)
    raise AssertionError((admin.parent / "envoy.log").read_text()[-4000:])


@pytest.fixture
async def sidecars(tmp_path: Path) -> AsyncIterator[Sidecars]:
    """A running pair of sidecars with an application behind it."""
    if shutil.which("true") is None:
        pytest.fail("no POSIX tools")
    root = certificate(tmp_path, "root", "spiffe://cluster.local")
    certificate(tmp_path, "client", CLIENT, root)
    certificate(tmp_path, "server", SERVER, root)
    collector = Collector()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(collector.handlers()))
    server.add_insecure_port(f"unix://{tmp_path / 'agent.sock'}")
    await server.start()
    pair = Sidecars(tmp_path, collector)
    try:
        async with application(pair), running(pair):
            yield pair
    finally:
        await server.stop(0)
