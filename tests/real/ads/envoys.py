"""Real Envoys under a real hub: the smallest configuration that shows each behaviour of delta ADS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import envoy
import grpc.aio
import httpx
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2  # noqa: F401 - ParseDict looks types up
from envoy.extensions.filters.http.on_demand.v3 import on_demand_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.set_filter_state.v3 import set_filter_state_pb2  # noqa: F401
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict

from byway.ads.catalogue import PLACEHOLDER
from byway.ads.hub import ConnectedProxy, Hub, Pace
from byway.ads.server import discovery_handlers
from byway.base.clock import SystemClock
from byway.model import names
from byway.testing.memory_catalogue import Keys, MemoryCatalogue
from byway.xds.resource import Resource

BINARY = next(path for path in (Path(p) / "_bin" / "envoy" for p in envoy.__path__) if path.exists())
IDENTITY = "spiffe://cluster.local/ns/default/sa/web"
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
_P = "type.googleapis.com/envoy.extensions.filters"
_MESSAGES = {
    names.TYPE_LISTENER: listener_pb2.Listener,
    names.TYPE_ROUTE: route_pb2.RouteConfiguration,
    names.TYPE_VIRTUAL_HOST: route_components_pb2.VirtualHost,
    names.TYPE_CLUSTER: cluster_pb2.Cluster,
    names.TYPE_ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
}


def resource(type_url: str, name: str, body: Mapping[str, Any], requires: tuple[str, ...] = ()) -> Resource:
    """The resource that `body` spells in protobuf's JSON."""
    wrapped = AnyMessage()
    wrapped.Pack(ParseDict(dict(body), _MESSAGES[type_url]()), deterministic=True)
    return Resource.of(type_url, name, wrapped.SerializeToString(deterministic=True), requires)


def cluster(name: str, **more: Any) -> Resource:
    """A cluster with endpoints over EDS."""
    body = {"name": name, "connect_timeout": "1s", "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, **more}
    return resource(names.TYPE_CLUSTER, name, body)


def static_cluster(name: str, *ports: int) -> Resource:
    """A cluster that knows its endpoints."""
    assignment = _assignment(name, *ports)
    body = {"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": assignment}
    return resource(names.TYPE_CLUSTER, name, body)


def endpoints(cluster_name: str, *ports: int) -> Resource:
    """The endpoints of a cluster, all on this machine."""
    return resource(names.TYPE_ENDPOINTS, cluster_name, _assignment(cluster_name, *ports))


def _assignment(cluster_name: str, *ports: int) -> dict[str, Any]:
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in ports]
    return {
        "cluster_name": cluster_name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": a}} for a in addresses]}],
    }


def virtual_host(name: str, domains: tuple[str, ...], cluster_name: str, **route: Any) -> Resource:
    """A virtual host that sends everything to one cluster."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster_name}, **route}]
    body = {"name": name, "domains": domains, "routes": routes}
    return resource(names.TYPE_VIRTUAL_HOST, name, body, (cluster_name,))


def outbound_http(port: int) -> Resource:
    """A listener whose virtual hosts come on demand."""
    manager = {
        "@type": f"{_P}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outbound",
        "rds": {"route_config_name": "out", "config_source": ADS},
        "http_filters": [
            {"name": "on_demand", "typed_config": {"@type": f"{_P}.http.on_demand.v3.OnDemand"}},
            {"name": "router", "typed_config": {"@type": f"{_P}.http.router.v3.Router"}},
        ],
    }
    return _listener("http", port, [{"name": "http", "typed_config": manager}])


def outbound_tcp(port: int, called: str = "%DOWNSTREAM_LOCAL_ADDRESS%") -> Resource:
    """A listener whose clusters come on demand, one for each address that is called."""
    state = {
        "@type": f"{_P}.network.set_filter_state.v3.Config",
        "on_new_connection": [
            {
                "object_key": "envoy.tcp_proxy.cluster",
                "format_string": {"text_format_source": {"inline_string": f"tcp|{called}"}},
            }
        ],
    }
    proxy = {
        "@type": f"{_P}.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "set-by-filter-state",
        "on_demand": {"odcds_config": ADS, "timeout": "5s"},
    }
    return _listener("tcp", port, [{"name": "state", "typed_config": state}, {"name": "tcp", "typed_config": proxy}])


def _listener(name: str, port: int, filters: list[dict[str, Any]]) -> Resource:
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    return resource(
        names.TYPE_LISTENER, name, {"name": name, "address": address, "filter_chains": [{"filters": filters}]}
    )


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def application(word: str) -> AsyncIterator[int]:
    """An HTTP server that answers with one word; also a TCP server that does so to any line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(word)}\r\n\r\n{word}".encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class ControlPlane:
    """A hub over a catalogue of dictionaries, served on a Unix socket; it can be restarted."""

    def __init__(self, socket_path: Path) -> None:
        self.catalogue = MemoryCatalogue()
        self.http_port, self.tcp_port = free_port(), free_port()
        # What Envoy builds in place of the placeholder of the pure tests must be real here.
        self.catalogue.put(
            resource(names.TYPE_VIRTUAL_HOST, PLACEHOLDER, {"name": PLACEHOLDER, "domains": ["placeholder.invalid"]}),
            resource(names.TYPE_ROUTE, "out", {"name": "out", "vhds": {"config_source": ADS}}),
            outbound_http(self.http_port),
            outbound_tcp(self.tcp_port),
        )
        self.catalogue.set_roots(listeners=("http", "tcp"))
        self._socket_path = socket_path
        self.hub = Hub(self.catalogue, SystemClock())

    async def start(self) -> None:
        self.hub = Hub(self.catalogue, SystemClock(), Pace(window_s=0.02, tick_s=0.2))
        self._run = asyncio.create_task(self.hub.run())
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(discovery_handlers(self.hub, peer_of=lambda _: IDENTITY))
        self._server.add_insecure_port(f"unix:{self._socket_path}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)

    async def publish(self, keys: Keys, timeout_s: float = 10.0) -> Any:
        """Publishes, and waits for all answers."""
        return await self.hub.publish(keys).done(timeout_s)

    def serve(self, service: str, port: int, **route: Any) -> Keys:
        """An HTTP service of one cluster, under two spellings."""
        name = f"out/{service}.default"
        return self.catalogue.put(
            cluster(f"outbound|{service}"),
            endpoints(f"outbound|{service}", port),
            virtual_host(name, (service, f"{service}.default"), f"outbound|{service}", **route),
        ) | self.catalogue.spell(name, f"out/{service}")

    def drop(self, service: str) -> Keys:
        """Deletes the service."""
        return self.catalogue.remove(
            (names.TYPE_VIRTUAL_HOST, f"out/{service}.default"),
            (names.TYPE_CLUSTER, f"outbound|{service}"),
            (names.TYPE_ENDPOINTS, f"outbound|{service}"),
        )

    def proxy(self) -> ConnectedProxy:
        """The only connected proxy."""
        (proxy,) = self.hub.snapshot()
        return proxy


class Sidecar:
    """One real Envoy."""

    def __init__(self, directory: Path, discovery_socket: Path, *flags: str) -> None:
        self._directory = directory
        self._flags = flags
        self._discovery_socket = discovery_socket
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        bootstrap = self._directory / "bootstrap.json"
        bootstrap.write_text(json.dumps(self._bootstrap()))
        log = (self._directory / "envoy.log").open("wb")
        flags = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", *self._flags)
        self._process = await asyncio.create_subprocess_exec(
            str(BINARY), "--config-path", str(bootstrap), *flags, stdout=log, stderr=log
        )
        log.close()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def admin(self, path: str) -> str:
        """What Envoy's admin interface says."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._directory / "admin.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=5) as client:
            return (await client.get(f"http://admin{path}")).text

    async def clusters(self) -> set[str]:
        """The names of the active dynamic clusters."""
        dump = json.loads(await self.admin("/config_dump?resource=dynamic_active_clusters"))
        return {entry["cluster"]["name"] for entry in dump.get("configs", ())}

    def _bootstrap(self) -> dict[str, Any]:
        http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        endpoint = {"endpoint": {"address": {"pipe": {"path": str(self._discovery_socket)}}}}
        agent = {
            "name": names.AGENT_CLUSTER,
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                http2: {
                    "@type": f"type.googleapis.com/{http2}",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
            "load_assignment": {"cluster_name": names.AGENT_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        service = {"envoy_grpc": {"cluster_name": names.AGENT_CLUSTER}}
        ads = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
        return {
            "node": {"id": "web.default", "cluster": "web"},
            "admin": {"address": {"pipe": {"path": str(self._directory / "admin.sock")}}},
            "dynamic_resources": {"ads_config": ads, "lds_config": ADS, "cds_config": ADS},
            "static_resources": {"clusters": [agent]},
        }


async def until(is_so: Any, *, timeout_s: float = 20.0) -> None:
    """Asks again and again, with a bound; for what the outside shows without an event."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not await is_so():
        assert loop.time() < end, "it did not come about in time"
        turn = asyncio.Event()
        loop.call_later(0.02, turn.set)
        await turn.wait()
