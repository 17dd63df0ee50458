"""Envoy's own configuration dump as tables with istioctl's columns.

Resources are found by their `@type` wherever they stand in the dump, so these tables do not depend on how it is
wrapped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from byway.cli.output import table

Message = Mapping[str, Any]


def messages(content: Any, name: str) -> Iterator[Message]:
    """Every message of that type in the dump, outermost first; none is looked for inside another."""
    if isinstance(content, Mapping):
        if str(content.get("@type", "")).endswith(f".{name}"):
            yield content
            return
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from messages(part, name)


def listeners(content: Any) -> str:
    """Where Envoy listens, and to what its filter chains lead."""
    rows = []
    for listener in messages(content, "Listener"):
        socket = (listener.get("address") or {}).get("socket_address") or {}
        chains = [*(listener.get("filter_chains") or ()), *filter(None, [listener.get("default_filter_chain")])]
        for chain in chains or [{}]:
            leads_to = ", ".join(str(part.get("name", "")).rpartition(".")[2] for part in chain.get("filters") or ())
            address = f"{socket.get('address', '-')}:{socket.get('port_value', '-')}"
            rows.append((str(listener.get("name", "-")), address, _chain_match(chain), leads_to or "-"))
    return _table(("LISTENER", "ADDRESS", "MATCH", "FILTERS"), rows)


def _chain_match(chain: Message) -> str:
    match = chain.get("filter_chain_match") or {}
    parts = [f"{key}={_joined(value)}" for key, value in match.items()]
    return "; ".join(parts) or str(chain.get("name") or "ALL")


def _joined(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(
        f"{v.get('address_prefix')}/{v.get('prefix_len')}" if isinstance(v, Mapping) else str(v) for v in values
    )


def clusters(content: Any) -> str:
    """Where Envoy can send, by direction, port, subset and host."""
    rows = []
    for cluster in messages(content, "Cluster"):
        name = str(cluster.get("name", "-"))
        direction, port, subset, host = (
            (name.split("|") + [""] * 4)[:4] if name.count("|") == 3 else ("-", "-", "", name)
        )
        kind = str(cluster.get("type") or (cluster.get("cluster_type") or {}).get("name") or "STATIC")
        rows.append((host, port, subset or "-", direction, kind))
    return _table(("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"), sorted(rows))


def routes(content: Any) -> str:
    """Virtual hosts and their routes, in the order in which they are tried."""
    rows = []
    for configuration in messages(content, "RouteConfiguration"):
        for host in configuration.get("virtual_hosts") or ():
            rows += _host_rows(str(configuration.get("name", "-")), host)
    for host in messages(content, "VirtualHost"):
        rows += _host_rows("on demand", host)
    return _table(("NAME", "VHOST NAME", "DOMAINS", "MATCH", "DESTINATION"), rows)


def _host_rows(name: str, host: Message) -> list[tuple[str, ...]]:
    domains = host.get("domains") or ["-"]
    shown = str(domains[0]) + (f" + {len(domains) - 1} more" if len(domains) > 1 else "")
    return [
        (name, str(host.get("name", "-")), shown, _route_match(route), _action(route))
        for route in host.get("routes") or ()
    ]


def _route_match(route: Message) -> str:
    match = route.get("match") or {}
    spelled = {"prefix": "{}*", "path": "{}", "path_separated_prefix": "{}/*"}
    path = next((form.format(match[key]) for key, form in spelled.items() if key in match), "")
    regex = (match.get("safe_regex") or {}).get("regex")
    conditions = [f"{header.get('name')}" for header in match.get("headers") or ()]
    return " ".join([path or (f"~{regex}" if regex else "*"), *(f"[{name}]" for name in conditions)])


def _action(route: Message) -> str:
    if "direct_response" in route:
        return f"HTTP {route['direct_response'].get('status')}"
    if "redirect" in route:
        return "redirect"
    action = route.get("route") or {}
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or ()
    return ", ".join(f"{part.get('weight', 0)}:{part.get('name')}" for part in weighted) or str(
        action.get("cluster", "-")
    )


def endpoints(content: Any) -> str:
    """Addresses behind every cluster, healthy or not, ejected or not."""
    rows = [row for status in _statuses(content) for row in _status_rows(status)]
    for assignment in () if rows else messages(content, "ClusterLoadAssignment"):
        for locality in assignment.get("endpoints") or ():
            for endpoint in locality.get("lb_endpoints") or ():
                address = (endpoint.get("endpoint") or {}).get("address") or {}
                rows.append(
                    (
                        _address(address),
                        str(endpoint.get("health_status", "HEALTHY")),
                        "-",
                        str(assignment.get("cluster_name")),
                    )
                )
    return _table(("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"), sorted(rows))


def _statuses(content: Any) -> list[Message]:
    found = content.get("cluster_statuses") if isinstance(content, Mapping) else None
    return found if isinstance(found, list) else []


def _status_rows(status: Message) -> Iterator[tuple[str, str, str, str]]:
    for host in status.get("host_statuses") or ():
        health = host.get("health_status") or {}
        outlier = "FAILED" if health.get("failed_outlier_check") else "OK"
        yield (
            _address(host.get("address") or {}),
            str(health.get("eds_health_status", "HEALTHY")),
            outlier,
            str(status.get("name")),
        )


def _address(address: Message) -> str:
    socket = address.get("socket_address") or {}
    return (
        f"{socket['address']}:{socket.get('port_value')}"
        if socket
        else str((address.get("pipe") or {}).get("path", "-"))
    )


def secrets(content: Any) -> str:
    """Certificates that Envoy holds; private keys are never in the dump."""
    rows = []
    for secret in messages(content, "Secret"):
        name = str(secret.get("name", "-"))
        if chain := (secret.get("tls_certificate") or {}).get("certificate_chain"):
            rows.append((name, "Cert Chain", *_certificate(chain)))
        elif bundle := (secret.get("validation_context") or {}).get("trusted_ca"):
            rows.append((name, "CA", *_certificate(bundle)))
    return _table(("RESOURCE NAME", "TYPE", "IDENTITY", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"), rows)


def _certificate(source: Message) -> tuple[str, str, str, str]:
    from cryptography import x509

    try:
        pem = (
            source["inline_string"].encode() if "inline_string" in source else base64.b64decode(source["inline_bytes"])
        )
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        identity = ", ".join(names.get_values_for_type(x509.UniformResourceIdentifier)) or "-"
    except x509.ExtensionNotFound:
        identity = "-"
    except (KeyError, ValueError, binascii.Error):
        return "-", "-", "-", "-"
    times = (certificate.not_valid_after_utc, certificate.not_valid_before_utc)
    return identity, f"{certificate.serial_number:x}", times[0].isoformat(), times[1].isoformat()


def _table(headers: tuple[str, ...], rows: list[Any]) -> str:
    return table(headers, rows) if rows else "none"


TABLES: Final[Mapping[str, Callable[[Any], str]]] = {
    "listeners": listeners,
    "clusters": clusters,
    "routes": routes,
    "endpoints": endpoints,
    "secrets": secrets,
}
