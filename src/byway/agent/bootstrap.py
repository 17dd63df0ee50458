"""Envoy's bootstrap: the one Envoy configuration that the agent builds, as plain data; all else comes by discovery.

It says who the workload is, where its agent is (a Unix socket, relative to Envoy's working directory), and how much
Envoy may use. Envoy waits for its first listeners without a bound, so that LIVE means: the listeners are there.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from byway.agent.plan import WorkloadPlan
from byway.model.names import AGENT_CLUSTER, PORT_DNS, PROXY_RUNTIME

Json = dict[str, Any]

READINESS: Final = "readiness"
READY_PATH: Final = "/healthz/ready"
_ADMIN_CLUSTER: Final = "envoy-admin"
_TYPES: Final = "type.googleapis.com/envoy"
_DURATION_BUCKETS_MS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip
_READ_BY_THE_MESH: Final = (
    {"prefix": "istio."},  # first, and a prefix: Envoy then looks no further, at each request
    {"contains": "istio_"},
    {"prefix": "server."},
    {"prefix": "listener_manager."},
    {"prefix": "cluster_manager."},
    {"prefix": "control_plane."},
    {"prefix": "overload."},
    {"prefix": "cluster.xds-grpc."},
    {"safe_regex": {"regex": r"cluster\..*\.outlier_detection\.ejections_.*"}},
    {"safe_regex": {"regex": r"cluster\..*\.circuit_breakers\..*_open"}},
    {"safe_regex": {"regex": r"cluster\..*\.upstream_(rq_pending_overflow|rq_retry|cx_connect_fail|cx_overflow)"}},
    {"safe_regex": {"regex": r"cluster\..*\.ssl\.(handshake|connection_error|fail_verify_.*)"}},
    {"safe_regex": {"regex": r"listener\..*\.(downstream_cx_active|ssl\.(fail_verify_.*|connection_error))"}},
    {"safe_regex": {"regex": r"http\..*\.rbac\..*(allowed|denied)"}},
    {"safe_regex": {"regex": r"sds\..*|.*\.update_rejected"}},
)


class ProxyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one Envoy may use."""

    concurrency: int = 1
    heap_bytes: int = 512 * 1024 * 1024
    downstream_connections: int = 10_000
    stats_flush_s: float = 2.0


def bootstrap(workload: WorkloadPlan, *, node: str, epoch: str, limits: ProxyLimits) -> Json:
    """The bootstrap of the workload's Envoy; `epoch` is new at each start of Envoy."""
    document: Json = {
        "node": _node(workload, node, epoch),
        "admin": {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}},
        "static_resources": {
            "clusters": [_agent_cluster(), _admin_cluster()],
            "listeners": [_readiness(workload.ready_port)],
        },
        "dynamic_resources": {
            "ads_config": _ads(),
            "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "stats_config": _stats(),
        "stats_sinks": [_metrics_sink()],
        "stats_flush_interval": f"{limits.stats_flush_s:g}s",
        "overload_manager": _overload(limits),
        "layered_runtime": {
            "layers": [{"name": "mesh", "static_layer": PROXY_RUNTIME}, {"name": "admin", "admin_layer": {}}]
        },
    }
    if workload.interception == "iptables":
        document["typed_dns_resolver_config"] = _resolver()
    return document


def _node(workload: WorkloadPlan, node: str, epoch: str) -> Json:
    return {
        "id": workload.proxy_id,
        "cluster": workload.proxy_cluster,
        "metadata": {
            "INSTANCE": workload.instance,
            "NAMESPACE": workload.namespace,
            "WORKLOAD": workload.workload,
            "NODE": node,
            "EPOCH": epoch,
            "LABELS": workload.labels,
        },
    }


def _agent_cluster() -> Json:
    return {
        "name": AGENT_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _pipe(AGENT_CLUSTER, "agent.sock"),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        # The agent is one process that restarts: a refused connection must neither be counted against it nor be waited for.
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1024, "max_requests": 4096, "max_pending_requests": 4096}]
        },
    }


def _admin_cluster() -> Json:
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _pipe(_ADMIN_CLUSTER, "admin.sock"),
    }


def _pipe(cluster: str, path: str) -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": path}}}}
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _ads() -> Json:
    back_off = {"base_interval": "0.2s", "max_interval": "2s"}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [
            {"envoy_grpc": {"cluster_name": AGENT_CLUSTER, "retry_policy": {"retry_back_off": back_off}}}
        ],
    }


def _readiness(port: int) -> Json:
    """`GET /healthz/ready` on loopback only, answered by Envoy's own `/ready`; every other path is 404."""
    route = {"match": {"path": READY_PATH}, "route": {"cluster": _ADMIN_CLUSTER, "prefix_rewrite": "/ready"}}
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": READINESS,
        "route_config": {"virtual_hosts": [{"name": READINESS, "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": READINESS,
        "stat_prefix": READINESS,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "ignore_global_conn_limit": True,
        "filter_chains": [{"filters": filters}],
    }


def _stats() -> Json:
    durations = {"match": {"contains": "duration_milliseconds"}, "buckets": list(_DURATION_BUCKETS_MS)}
    return {
        "stats_matcher": {"inclusion_list": {"patterns": list(_READ_BY_THE_MESH)}},
        "histogram_bucket_settings": [durations],
    }


def _metrics_sink() -> Json:
    return {
        "name": "envoy.stat_sinks.metrics_service",
        "typed_config": {
            "@type": f"{_TYPES}.config.metrics.v3.MetricsServiceConfig",
            "transport_api_version": "V3",
            "emit_tags_as_labels": True,
            "report_counters_as_deltas": False,
            "histogram_emit_mode": "HISTOGRAM",
            "grpc_service": {"envoy_grpc": {"cluster_name": AGENT_CLUSTER}},
        },
    }


def _overload(limits: ProxyLimits) -> Json:
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )

    def at(share: float) -> list[Json]:
        return [{"name": heap, "threshold": {"value": share}}]

    monitors = [
        (heap, {"@type": f"{_TYPES}.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                "max_heap_size_bytes": limits.heap_bytes}),
        (connections, {"@type": f"{_TYPES}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                       "max_active_downstream_connections": limits.downstream_connections}),
    ]  # fmt: skip
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [{"name": name, "typed_config": config} for name, config in monitors],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": at(0.9)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": at(0.97)},
        ],
    }


def _resolver() -> Json:
    """Names that Envoy itself resolves go to the agent's DNS server, which listens in the namespace under its own
    port.
    """
    server = {"socket_address": {"address": "127.0.0.1", "port_value": PORT_DNS}}
    return {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [server],
        },
    }
