"""The bare pair: two Envoys written by hand, the least that does the same job.

Static configuration, interception by the same rules, mutual TLS 1.3 with SPIFFE ids checked on both sides, HTTP/2
between the two; no control plane, statistics, traces, retries or filters. What a sidecar of Byway costs beyond it is
what Byway's own configuration costs.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.ground import Place
from bench.server import PORT, address, manager
from byway.model.names import PORT_INBOUND, PORT_OUTBOUND, PROXY_UID

_TYPES: Final = "type.googleapis.com/envoy"
_LIFE: Final = dt.timedelta(hours=2)
SPIFFE: Final = "spiffe://bare.test/"


def command(place: Place, envoy: Path, config: Path, *below: str) -> tuple[str, ...]:
    """A sidecar in its place, as the user whom interception leaves alone; run by the program `below`, if any."""
    as_proxy = (
        "setpriv",
        "--reuid",
        str(PROXY_UID),
        "--regid",
        str(PROXY_UID),
        "--clear-groups",
        "--pdeathsig",
        "TERM",
    )
    flags = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
    return (*place.entered, *as_proxy, *below, str(envoy), "--config-path", str(config), *flags)


def write_client_config(path: Path, identity: tuple[str, str, str], server: Place) -> Path:
    """The caller's sidecar: all that leaves goes to the server's, over HTTP/2 and mutual TLS."""
    cluster = _cluster("server", server.address, {"http2_protocol_options": {}})
    tls = {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": _tls(identity),
    }
    cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return _write(path, PORT_OUTBOUND, {"filters": [manager("outbound", [_route("server")])]}, cluster)


def write_server_config(path: Path, identity: tuple[str, str, str]) -> Path:
    """The server's sidecar: whoever shows a certificate reaches the application."""
    tls = {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": _tls(identity),
        "require_client_certificate": True,
    }
    chain = {
        "filters": [manager("inbound", [_route("application")])],
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }
    return _write(path, PORT_INBOUND, chain, _cluster("application", "127.0.0.1", {"http_protocol_options": {}}))


def identities(*uris: str) -> tuple[tuple[str, str, str], ...]:
    """For each SPIFFE id: its certificate, its key and the authority's certificate, as PEM."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    authority = _certificate(name, authority_key, name, authority_key, None)
    found = []
    for uri in uris:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(x509.Name([]), key, name, authority_key, uri)
        found.append((_pem(leaf), _key_pem(key), _pem(authority)))
    return tuple(found)


def _write(path: Path, port: int, chain: dict[str, Any], cluster: dict[str, Any]) -> Path:
    listener = {
        "name": "listener",
        "address": address("0.0.0.0", port),  # noqa: S104 - in a namespace of its own
        "filter_chains": [chain],
    }
    document = {
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
    path.write_bytes(msgspec.json.encode(document))
    path.chmod(0o644)
    return path


def _route(cluster: str) -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}


def _cluster(name: str, host: str, protocol: dict[str, Any]) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(host, PORT)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": protocol}
        },
    }


def _tls(identity: tuple[str, str, str]) -> dict[str, Any]:
    certificate, key, authority = identity
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": authority},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": SPIFFE}}],
        },
    }


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    uri: str | None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=uri is None, path_length=None), critical=True)
    )
    if uri is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
        )
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
