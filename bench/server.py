"""The application of the latency figures: an Envoy that answers 1 KB by itself.

A server that is slower than the proxies would hide what they add. Envoy's `direct_response` answers in some tens of
microseconds, keeps connections open, and is there wherever Byway is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

PORT: Final = 8080
_TYPES: Final = "type.googleapis.com/envoy"
_BODY: Final = "byway " * 170


def command(envoy: Path, config: Path) -> tuple[str, ...]:
    """How it is started; one worker, as the proxies."""
    return (
        str(envoy),
        "--config-path",
        str(config),
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "error",
    )


def write_config(path: Path) -> Path:
    """Writes its configuration and returns where."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": _BODY}}}
    listener = {
        "name": "application",
        "address": address("0.0.0.0", PORT),  # noqa: S104 - in a namespace of its own
        "filter_chains": [{"filters": [manager("application", [route])]}],
    }
    document = {"stats_config": {"stats_matcher": {"reject_all": True}}, "static_resources": {"listeners": [listener]}}
    path.write_bytes(msgspec.json.encode(document))
    path.chmod(0o644)
    return path


def manager(name: str, routes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A plain HTTP connection manager: one virtual host, the router, nothing else."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
    }
    config = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
        **more,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def address(host: str, port: int) -> dict[str, Any]:
    """An address in Envoy's words."""
    return {"socket_address": {"address": host, "port_value": port}}
