"""What a pair of Byway's sidecars has beyond the bare pair, piece by piece: each a change to a twin's configuration.

A piece that the pair has is taken out, and one that it has only when asked for is put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from bench.twin import Json, Side, Twin
from byway.model.names import AGENT_CLUSTER

_TYPES: Final = "type.googleapis.com/envoy"
_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STATS: Final = "envoy.access_loggers.stats"


class Piece(msgspec.Struct, frozen=True):
    """One piece: its name, what it is, the change, and whether the change takes it out or puts it in."""

    name: str
    what: str
    change: Callable[[Twin], None]
    way: Literal["out", "in"] = "out"


def without_metrics(twin: Twin) -> None:
    """No stats access logger."""
    for manager in _managers(twin):
        manager.pop("access_log", None)


def without_filters(twin: Twin, *words: str) -> None:
    """Without the HTTP filters whose names hold one of the words, and what routes say of them."""
    for side in twin.sides:
        for manager in side.managers():
            manager["http_filters"] = [f for f in manager["http_filters"] if not _has(f["name"], words)]
        for route in side.every_route():
            kept = {n: c for n, c in route.pop("typed_per_filter_config", {}).items() if not _has(n, words)}
            if kept:
                route["typed_per_filter_config"] = kept


def without_stats(twin: Twin) -> None:
    """Envoy counts nothing at all, as the bare pair."""
    for side in twin.sides:
        side.bootstrap["stats_config"] = {"stats_matcher": {"reject_all": True}}


def _without_own_counters(twin: Twin) -> None:
    patterns = [{"contains": "istio_"}, {"contains": "istio."}]
    for side in twin.sides:
        side.bootstrap["stats_config"]["stats_matcher"] = {"inclusion_list": {"patterns": patterns}}


def _without_histograms(twin: Twin, *names: str) -> None:
    for config in _loggers(twin):
        config["histograms"] = [item for item in config["histograms"] if item["stat"]["name"] not in names]


def _with_plain_tag(twin: Twin) -> None:
    for config in _loggers(twin):
        for item in (*config["histograms"], *config["counters"]):
            for tag in item["stat"]["tags"]:
                tag["value_format"] = "always|the|same"


def _without(twin: Twin, *names: str) -> None:
    for manager in _managers(twin):
        for name in names:
            manager.pop(name, None)


def _bootstraps(name: str) -> Callable[[Twin], None]:
    def change(twin: Twin) -> None:
        for side in twin.sides:
            side.bootstrap.pop(name, None)

    return change


def _without_source_header(twin: Twin) -> None:
    for side in twin.sides:
        for configuration in side.routes.values():
            configuration.pop("request_headers_to_add", None)


def _without_retries(side: Side) -> None:
    for route in side.every_route():
        route["route"].pop("retry_policy", None)


def _without_retry_predicate(twin: Twin) -> None:
    for route in twin.client.every_route():
        for name in ("retry_host_predicate", "host_selection_retry_max_attempts"):
            route["route"].get("retry_policy", {}).pop(name, None)


def _without_attempts(twin: Twin) -> None:
    for side in twin.sides:
        for host in side.hosts():
            host.pop("include_request_attempt_count", None)


def _without_request_ids(twin: Twin) -> None:
    for manager in _managers(twin):
        manager["generate_request_id"] = False


def _with_usual_headers(twin: Twin) -> None:
    _without(twin, "server_header_transformation")
    for manager in _managers(twin):
        manager["http_filters"][-1]["typed_config"].pop("suppress_envoy_headers", None)


def _without_limits(twin: Twin) -> None:
    for cluster in _clusters(twin):
        cluster.pop("circuit_breakers", None)


def _with_plain_balancing(twin: Twin) -> None:
    for cluster in _clusters(twin):
        if cluster.get("lb_policy") == "LEAST_REQUEST":
            cluster.pop("lb_policy")
        cluster.pop("common_lb_config", None)


def _with_one_socket(twin: Twin) -> None:
    for cluster in _clusters(twin):
        for match in cluster.pop("transport_socket_matches", [])[:1]:
            cluster["transport_socket"] = match["transport_socket"]


def _with_usual_http2(twin: Twin) -> None:
    for cluster in _clusters(twin):
        explicit = cluster.get("typed_extension_protocol_options", {}).get(_OPTIONS, {}).get("explicit_http_config", {})
        if "http2_protocol_options" in explicit:
            explicit["http2_protocol_options"] = {}
    _without(twin, "http2_protocol_options")


def _with_one_chain(twin: Twin) -> None:
    for side in twin.sides:
        for listener in side.listeners():
            chains = [chain for chain in listener["filter_chains"] if chain["name"] in ("http", "http-mutual")]
            if chains:
                chains[0].pop("filter_chain_match", None)
                listener["filter_chains"] = chains
                for name in ("listener_filters", "default_filter_chain"):
                    listener.pop(name, None)


def _with_usual_buffers(twin: Twin) -> None:
    for side in twin.sides:
        for listener in side.listeners():
            listener.pop("per_connection_buffer_limit_bytes", None)


def _with_routes_inside(twin: Twin) -> None:
    for side in twin.sides:
        for manager in side.managers():
            manager["route_config"] = side.routes[manager.pop("rds")["route_config_name"]]


def _with_dynamic_stats(twin: Twin) -> None:
    for manager in _managers(twin):
        manager["http_filters"][-1]["typed_config"].pop("dynamic_stats", None)


def _with_tracing(twin: Twin) -> None:
    exporter = {"envoy_grpc": {"cluster_name": AGENT_CLUSTER}, "timeout": "2s"}
    config = {
        "@type": f"{_TYPES}.config.trace.v3.OpenTelemetryConfig",
        "grpc_service": exporter,
        "service_name": "bench",
    }
    provider = {"name": "envoy.tracers.opentelemetry", "typed_config": config}
    sampling = {"client_sampling": {"value": 100}, "random_sampling": {"value": 1}, "overall_sampling": {"value": 100}}
    for manager in _managers(twin):
        manager["tracing"] = {"provider": provider, **sampling}


def _with_access_log(twin: Twin) -> None:
    config = {"@type": f"{_TYPES}.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}
    for manager in _managers(twin):
        manager.setdefault("access_log", []).append({"name": "envoy.access_loggers.file", "typed_config": config})


def _with_rules(twin: Twin) -> None:
    rules = {"policies": {"callers": {"permissions": [{"any": True}], "principals": [_principal()]}}}
    override = {"@type": f"{_TYPES}.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {"rules": rules}}
    for route in twin.server.every_route():
        if "typed_per_filter_config" in route:
            route["typed_per_filter_config"]["byway.filters.http.allow"] = override


def _principal() -> Json:
    return {"authenticated": {"principal_name": {"exact": "spiffe://cluster.local/ns/default/sa/caller"}}}


def everything(twin: Twin) -> None:
    """All pieces that the pair has, at once: what is left should cost what the bare pair costs."""
    for piece in PIECES:
        if piece.way == "out":
            piece.change(twin)


def _managers(twin: Twin) -> Iterable[Json]:
    return (manager for side in twin.sides for manager in side.managers())


def _clusters(twin: Twin) -> Iterable[Json]:
    return (cluster for side in twin.sides for cluster in side.clusters())


def _loggers(twin: Twin) -> list[Json]:
    logs: list[Any] = [log for manager in _managers(twin) for log in manager.get("access_log", ())]
    return [log["typed_config"] for log in logs if log["name"] == _STATS]


def _has(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name for word in words)


PIECES: Final = (
    Piece("metrics", "the stats access logger on both sides, with all that follows", without_metrics),
    Piece("sizes", "its histograms of bytes", lambda t: _without_histograms(t, "request_bytes", "response_bytes")),
    Piece("durations", "its histogram of durations", lambda t: _without_histograms(t, "request_duration_milliseconds")),
    Piece("report", "what its tag says of the request, against a fixed text", _with_plain_tag),
    Piece("counters", "Envoy's own counters that the mesh reads", _without_own_counters),
    Piece("stats", "all statistics", without_stats),
    Piece("deferred_stats", "the deferred creation of statistics", _bootstraps("deferred_stat_options")),
    Piece("metrics_stream", "the metrics stream to the agent, every 2 s", _bootstraps("stats_sinks")),
    Piece("overload", "the overload manager", _bootstraps("overload_manager")),
    Piece("on_demand", "the filter `on_demand`", lambda t: without_filters(t, "on_demand")),
    Piece("fault", "the fault filter, disabled", lambda t: without_filters(t, "fault")),
    Piece("access_rules", "the two filters of access rules, disabled by the route", lambda t: without_filters(t, "byway.")),
    Piece("source_header", "`x-byway-source`", _without_source_header),
    Piece("client_certificate", "`x-forwarded-client-cert`",
          lambda t: _without(t, "forward_client_cert_details", "set_current_client_cert_details")),
    Piece("retries", "retries at the client", lambda t: _without_retries(t.client)),
    Piece("retry_predicate", "of these, the choice of another instance", _without_retry_predicate),
    Piece("inbound_retry", "the one retry at the server", lambda t: _without_retries(t.server)),
    Piece("attempts", "the count of attempts", _without_attempts),
    Piece("normalize_path", "normalised paths", lambda t: _without(t, "normalize_path")),
    Piece("upgrades", "WebSocket upgrades", lambda t: _without(t, "upgrade_configs")),
    Piece("host_dot", "the host's trailing dot", lambda t: _without(t, "strip_trailing_host_dot")),
    Piece("request_ids", "request ids, which the bare pair has, too", _without_request_ids),
    Piece("own_headers", "the server's name passed on, Envoy's own headers left out", _with_usual_headers),
    Piece("limits", "no limits of connections and requests, in place of Envoy's own", _without_limits),
    Piece("balancing", "least request in place of round robin", _with_plain_balancing),
    Piece("sockets", "the choice between mutual TLS and plain text by instance", _with_one_socket),
    Piece("http2", "HTTP/2 with CONNECT and many streams", _with_usual_http2),
    Piece("chains", "listener filters and the other filter chains", _with_one_chain),
    Piece("buffers", "smaller buffers", _with_usual_buffers),
    Piece("discovery", "routes by discovery", _with_routes_inside),
    Piece("dynamic_stats", "the router's counters by response code, which the mesh leaves out", _with_dynamic_stats, "in"),
    Piece("tracing", "traces of 1 % of the requests", _with_tracing, "in"),
    Piece("access_log", "a text line for each request", _with_access_log, "in"),
    Piece("one_allow_policy", "an AuthorizationPolicy that names one caller", _with_rules, "in"),
)  # fmt: skip
