"""Names and numbers that several rooms must agree on; each is Istio's where Istio has one."""

from __future__ import annotations

from typing import Final

AGENT_CLUSTER: Final = "byway-agent"
"""The static Envoy cluster that reaches the workload's agent over a Unix socket (ADS, SDS, metrics, traces)."""

SDS_IDENTITY: Final = "default"
SDS_BUNDLE: Final = "ROOTCA"

PORT_OUTBOUND: Final = 15001
PORT_INBOUND: Final = 15006
PORT_XDS: Final = 15012
PORT_ADMIN: Final = 15014
PORT_AGENT_METRICS: Final = 15020
PORT_READY: Final = 15021
PORT_DNS: Final = 15053
PORT_PROXY_METRICS: Final = 15090

RESERVED_PORTS: Final = (
    PORT_OUTBOUND,
    PORT_INBOUND,
    PORT_AGENT_METRICS,
    PORT_READY,
    PORT_DNS,
    PORT_PROXY_METRICS,
)
"""What a sidecar itself listens on: never a destination, or a proxy would call itself until it dies."""

INBOUND_SOURCE: Final = "127.0.0.6"
"""Where a proxy calls its own application from, so that interception does not send that call back to the proxy."""

PROXY_UID: Final = 1337
"""The user that Envoy runs as; interception leaves its traffic alone."""

PROXY_RUNTIME: Final = {"re2.max_program_size.error_level": 32_768}
"""Envoy's runtime flags, the same in the fleet and in the prover. Envoy's own limit of a regex is 100; this is Istio's."""

ON_DEMAND_CLUSTER: Final = "tcp|"
"""How the name of a cluster begins that is asked for by the address that was called: `tcp|<vip>:<port>`."""

GRPC_CERTIFICATES: Final = "default"
"""What a gRPC client's bootstrap calls the files that hold its certificate."""

BLACK_HOLE: Final = "BlackHoleCluster"
"""Istio's name for the cluster that refuses everything."""

VIP_NETWORK: Final = "240.240.0.0/16"
DEFAULT_TRUST_DOMAIN: Final = "cluster.local"
DEFAULT_ROOT_NAMESPACE: Final = "istio-system"
DOMAIN_SUFFIX: Final = "cluster.local"

LABEL_APP: Final = "app"
LABEL_VERSION: Final = "version"
LABEL_WORKLOAD: Final = "service.istio.io/workload-name"
LABEL_PROXY: Final = "byway.dev/proxy"
LABEL_TLS_MODE: Final = "security.istio.io/tlsMode"
ANNOTATION_NODE: Final = "byway.dev/node"
ANNOTATION_INTERCEPTION: Final = "byway.dev/interception"
ANNOTATION_APP_PORTS: Final = "byway.dev/app-ports"
ANNOTATION_OUTBOUND_PORT: Final = "byway.dev/outbound-port"
ANNOTATION_DISCOVERY: Final = "byway.dev/discovery"
ANNOTATION_STAND_IN: Final = "byway.dev/stand-in"

TYPE_LISTENER: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
TYPE_ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
TYPE_VIRTUAL_HOST: Final = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
TYPE_CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
TYPE_ENDPOINTS: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
TYPE_SECRET: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def service_host(name: str, namespace: str) -> str:
    """The full name of a service: `<name>.<namespace>.svc.cluster.local`."""
    return f"{name}.{namespace}.svc.{DOMAIN_SUFFIX}"
