"""A static twin of a live pair: what two Envoys hold, read from themselves, as configuration that needs no control plane.

All that a request passes stays as it is, to the byte. What would come by discovery is written down instead: routes in
files that Envoy reads as it reads a discovery service's answer, endpoints and certificates in the configuration
itself. So a twin costs what the live pair costs, and any part of it can be changed without a switch in the product.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.process import BenchFailed
from byway.model.names import AGENT_CLUSTER, VIP_NETWORK

Json = dict[str, Any]

_MANAGER: Final = ".HttpConnectionManager"
_TCP: Final = ".TcpProxy"
_TLS: Final = "TlsContext"
_ROUTES: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class Side(msgspec.Struct):
    """One Envoy: its bootstrap, and its route configurations by name."""

    bootstrap: Json
    routes: dict[str, Json]

    def listeners(self) -> list[Json]:
        """Its listeners."""
        found: list[Json] = self.bootstrap["static_resources"]["listeners"]
        return found

    def clusters(self) -> list[Json]:
        """Its clusters, but for the one that leads to the agent."""
        return [
            cluster for cluster in self.bootstrap["static_resources"]["clusters"] if cluster["name"] != AGENT_CLUSTER
        ]

    def managers(self) -> list[Json]:
        """Its HTTP connection managers."""
        return [found for found in _objects(self.listeners()) if str(found.get("@type")).endswith(_MANAGER)]

    def hosts(self) -> list[Json]:
        """Its virtual hosts."""
        return [host for routes in self.routes.values() for host in routes["virtual_hosts"]]

    def every_route(self) -> list[Json]:
        """All routes of all its virtual hosts."""
        return [route for host in self.hosts() for route in host.get("routes", ())]


class Twin(msgspec.Struct):
    """Both sides."""

    client: Side
    server: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        """The caller's Envoy and the server's."""
        return self.client, self.server

    def copied(self) -> Twin:
        """Another one, to be changed."""
        return copy.deepcopy(self)


class Identity(msgspec.Struct, frozen=True):
    """A certificate, its key and the authority's certificate, as PEM."""

    certificate: str
    key: str
    authority: str


def side(dump: Json, identity: Identity, agent_socket: Path) -> Side:
    """One side, out of the `/config_dump?include_eds` of a live Envoy."""
    found = {config["@type"].rsplit(".", 1)[1]: config for config in dump["configs"]}
    endpoints = {
        entry["endpoint_config"]["cluster_name"]: entry["endpoint_config"]
        for entry in found["EndpointsConfigDump"].get("dynamic_endpoint_configs", ())
    }
    bootstrap: Json = found["BootstrapConfigDump"]["bootstrap"]
    for name in ("admin", "dynamic_resources"):
        bootstrap.pop(name, None)
    clusters = [entry["cluster"] for entry in found["ClustersConfigDump"].get("dynamic_active_clusters", ())]
    agent = next(cluster for cluster in bootstrap["static_resources"]["clusters"] if cluster["name"] == AGENT_CLUSTER)
    for pipe in (item["pipe"] for item in _objects(agent) if "pipe" in item):
        pipe["path"] = str(agent_socket)
    listeners = [entry["active_state"]["listener"] for entry in found["ListenersConfigDump"]["dynamic_listeners"]]
    bootstrap["static_resources"] = {"listeners": listeners, "clusters": [agent, *clusters]}
    routes = [entry["route_config"] for entry in found["RoutesConfigDump"]["dynamic_route_configs"]]
    for resource in (*listeners, *clusters, *endpoints.values(), *routes):
        resource.pop("@type", None)  # it stands where the type is known
    for cluster in clusters:
        _fix_endpoints(cluster, endpoints)
    for item in list(_objects(bootstrap["static_resources"])):
        if str(item.get("@type")).endswith(_TLS):
            _fix_identity(item["common_tls_context"], identity)
        if str(item.get("@type")).endswith(_TCP):
            item.pop("on_demand", None)
    for configuration in routes:
        configuration.pop("vhds", None)
    return Side(bootstrap, {configuration["name"]: configuration for configuration in routes})


def point_at(side: Side, was: str, address: str) -> None:
    """Has the endpoints of one server be those of another."""
    for item in _objects(side.clusters()):
        if item.get("address") == was:
            item["address"] = address


def server_address(side: Side) -> str:
    """Where the clusters with metadata, which are the services that were called, have their only endpoint."""
    found = {
        item["address"] for cluster in side.clusters() if cluster["name"].startswith("outbound|")
        for item in _objects(cluster.get("load_assignment", {})) if "port_value" in item
    }  # fmt: skip
    if len(found) != 1:
        raise BenchFailed(f"the caller of the live pair knows {len(found)} servers, not one")
    return str(found.pop())


def vip(side: Side, port: int) -> str | None:
    """The address and port by which its application calls the server; None where it holds no such routes."""
    network = ipaddress.ip_network(VIP_NETWORK)
    for domain in (domain for host in side.hosts() for domain in host["domains"]):
        name, _, number = domain.rpartition(":")
        is_address = name.count(".") == 3 and name.replace(".", "").isdigit()
        if number == str(port) and is_address and ipaddress.ip_address(name) in network:
            return str(domain)
    return None


def written(side: Side, folder: Path, name: str) -> Path:
    """Writes the configuration, with its routes in files beside it, and returns the bootstrap's path."""
    paths = {}
    for number, (routes, content) in enumerate(side.routes.items()):
        paths[routes] = _write(folder / f"{name}-routes-{number}.json", {"resources": [{"@type": _ROUTES, **content}]})
    for manager in side.managers():
        if "rds" in manager:
            path = paths[manager["rds"]["route_config_name"]]
            manager["rds"]["config_source"] = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
    return _write(folder / f"{name}.json", side.bootstrap)


def _fix_endpoints(cluster: Json, endpoints: dict[str, Json]) -> None:
    if cluster.pop("eds_cluster_config", None) is None:
        return
    cluster["type"] = "STATIC"
    load = endpoints[cluster["name"]]
    for locality in load.get("endpoints", ()):
        locality.pop("load_balancing_weight", None)  # 0 in a dump, and refused in a configuration
    cluster["load_assignment"] = load


def _fix_identity(context: Json, identity: Identity) -> None:
    context.pop("tls_certificate_sds_secret_configs")
    context["tls_certificates"] = [
        {"certificate_chain": {"inline_string": identity.certificate}, "private_key": {"inline_string": identity.key}}
    ]
    combined = context.pop("combined_validation_context")
    authority = {"trusted_ca": {"inline_string": identity.authority}}
    context["validation_context"] = {**combined["default_validation_context"], **authority}


def _objects(value: Any) -> Iterator[Json]:
    """Every object in it, itself included."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _write(path: Path, document: Json) -> Path:
    path.write_bytes(msgspec.json.encode(document))
    path.chmod(0o644)
    return path
