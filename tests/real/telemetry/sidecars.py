"""The configuration of two sidecars as static bootstraps: a client's outbound listeners and a server's inbound ones."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from google.protobuf import json_format
from google.protobuf.message import Message

from byway.model.report import Peer
from byway.xds import telemetry

KNOWN_TYPES = (metrics_service_pb2, router_pb2, tls_pb2, http_protocol_options_pb2)
"""Imported so that the JSON parser finds their messages."""

CLIENT = "spiffe://cluster.local/ns/default/sa/web"
SERVER = "spiffe://cluster.local/ns/default/sa/links"
WEB = Peer(workload="web", namespace="default", app="web", version="v1", principal=CLIENT)
LINKS = Peer(workload="links-stable", namespace="default", app="links", version="stable", principal=SERVER)


@dataclass(frozen=True)
class Ports:
    """Where the pair listens, and its application."""

    outbound: int
    inbound: int
    plain: int
    tcp: int
    app: int


def certificate(directory: Path, name: str, uri: str, issuer: Any = None) -> Any:
    """Writes `name`.pem and `name`.key; self-signed as a root where there is no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
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
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
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


def as_json(value: Message) -> Any:
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


def client_bootstrap(folder: Path, ports: Ports, epoch: str) -> bootstrap_pb2.Bootstrap:
    source = telemetry.Reporter(reporter="source", peer=WEB, access_log_path=str(folder / "access.log"))
    service = as_json(telemetry.cluster_metadata("links.default.svc.cluster.local", "links", "default"))
    tcp = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "tcp-app",
        "access_log_options": as_json(telemetry.tcp_access_log_options()),
    }
    out = [
        {"match": {"prefix": "/nowhere"}, "route": {"cluster": "empty"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "outbound", "timeout": "5s"}},
    ]
    links = telemetry.endpoint_metadata(LINKS)
    listeners = [
        listener("out", ports.outbound, "OUTBOUND", http_filter_chain(source, "out", [], out)),
        listener("tcp", ports.tcp, "OUTBOUND", {"filters": [{"name": "tcp", "typed_config": tcp}]}),
    ]
    clusters = [
        cluster(
            "outbound",
            [endpoint(ports.inbound, links)],
            metadata=service,
            transport_socket=tls(folder, "client", is_server=False),
            typed_extension_protocol_options=HTTP2,
        ),
        cluster("empty", [], metadata=service),
        cluster("tcp-app", [endpoint(ports.app, links)], metadata=service),
    ]
    made = bootstrap(folder, "web-1", WEB, listeners, clusters)
    made.node.metadata["EPOCH"] = epoch
    add_access_logs(made, {"out": source, "tcp": source})
    return made


def server_bootstrap(folder: Path, ports: Ports) -> bootstrap_pb2.Bootstrap:
    trusted = telemetry.Reporter(reporter="destination", peer=LINKS, security="mutual_tls")
    plain = telemetry.Reporter(reporter="destination", peer=LINKS, security="none")
    service = as_json(telemetry.cluster_metadata("links.default.svc.cluster.local", "links", "default"))
    to_app = [{"match": {"prefix": "/"}, "route": {"cluster": "inbound", "timeout": "5s"}}]
    secure = http_filter_chain(trusted, "in", list(telemetry.source_filters(is_trusted=True)), to_app)
    secure["transport_socket"] = tls(folder, "server", is_server=True)
    open_chain = http_filter_chain(plain, "plain", list(telemetry.source_filters(is_trusted=False)), to_app)
    listeners = [
        listener("in", ports.inbound, "INBOUND", secure),
        listener("plain", ports.plain, "INBOUND", open_chain),
    ]
    clusters = [cluster("inbound", [endpoint(ports.app)], metadata=service)]
    made = bootstrap(folder, "links-stable-1", LINKS, listeners, clusters)
    made.node.metadata["EPOCH"] = "1"
    add_access_logs(made, {"in": trusted, "plain": plain})
    return made


def bootstrap(
    folder: Path, instance: str, peer: Peer, listeners: list[Any], clusters: list[Any]
) -> bootstrap_pb2.Bootstrap:
    agent = cluster(
        "byway-agent",
        [{"endpoint": {"address": {"pipe": {"path": str(folder / f"{peer.app}.sock")}}}}],
        typed_extension_protocol_options=HTTP2,
    )
    sink = {
        "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "emit_tags_as_labels": True,
        "histogram_emit_mode": "HISTOGRAM",
        "grpc_service": {"envoy_grpc": {"cluster_name": "byway-agent"}},
    }
    document = {
        "node": {"id": f"sidecar~127.0.0.1~{instance}.default~default.svc.cluster.local", "cluster": peer.workload},
        "admin": {"address": {"pipe": {"path": str(folder / f"{instance}-admin.sock")}}},
        "static_resources": {"listeners": listeners, "clusters": [*clusters, agent]},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"contains": "istio"}]}}},
        "stats_flush_interval": "0.2s",
        "stats_sinks": [{"name": "envoy.stat_sinks.metrics_service", "typed_config": sink}],
    }
    made = json_format.ParseDict(document, bootstrap_pb2.Bootstrap())
    made.node.metadata.update({"INSTANCE": instance, "NAMESPACE": "default", "WORKLOAD": peer.workload})
    return made


def add_access_logs(made: bootstrap_pb2.Bootstrap, reporters: dict[str, telemetry.Reporter]) -> None:
    """JSON cannot carry the fields that the published protobufs lack, so the loggers are added to the messages."""
    for each in made.static_resources.listeners:
        packed = each.filter_chains[0].filters[0].typed_config
        is_tcp = packed.Is(tcp_proxy_pb2.TcpProxy.DESCRIPTOR)
        config = tcp_proxy_pb2.TcpProxy() if is_tcp else http_connection_manager_pb2.HttpConnectionManager()
        packed.Unpack(config)
        logs = telemetry.tcp_access_logs if is_tcp else telemetry.http_access_logs
        config.access_log.extend(logs(reporters[each.name]))
        packed.Pack(config)
