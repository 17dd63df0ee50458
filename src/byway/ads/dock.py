"""The discovery server of one resident Envoy: it holds what the proofs need around them, and sends what it is told.

Envoy asks for what it is made to want: the permanent listener below makes it subscribe to the route configuration `out`,
and that one to virtual hosts. So virtual hosts can be proved at any time; for other types the prover puts up what is
needed around a proof, and takes it down again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from byway.ads import wire
from byway.ads.action import Entry, Send
from byway.ads.event import Requested
from byway.model import names
from byway.xds.resource import Resource

OUTBOUND_ROUTE: Final = "out"
_ADS: Final = {"ads": {}, "resource_api_version": "V3"}
_HTTP: Final = http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR.full_name
_ROUTER: Final = router_pb2.Router.DESCRIPTOR.full_name


class EnvoyLost(Exception):
    """The stream of the resident Envoy ended."""


class Dock:
    """See the module. `sent` returns Envoy's answer to one response: None, or why it refuses it."""

    def __init__(self) -> None:
        self._server: grpc.aio.Server | None = None
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[str | None]] = {}
        self._asked: dict[str, set[str]] = {}
        self._moved = asyncio.Condition()
        self._n_responses = 0
        self._is_connected = False

    async def open(self, socket: Path) -> None:
        """Serve on `socket`."""
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(self._stream)
        service = grpc.method_handlers_generic_handler(wire.SERVICE, {wire.METHOD: handler})
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(f"unix:{socket}")
        await self._server.start()

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self._lose()

    async def until_asked(self, type_url: str, name: str) -> None:
        """Waits until Envoy subscribes to `name`; raises `EnvoyLost` if it goes away."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self._is_connected or name in self._asked.get(type_url, ()))
        if not self._is_connected:
            raise EnvoyLost

    async def until_ready(self) -> None:
        """Waits until Envoy holds the permanent resources."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._is_connected and names.TYPE_VIRTUAL_HOST in self._asked)

    def send(self, type_url: str, *resources: Resource, removed: tuple[str, ...] = ()) -> asyncio.Future[str | None]:
        """Send one response; the result is Envoy's answer."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        if not self._is_connected:
            answer.set_exception(EnvoyLost())
            self._forget(answer)
            return answer
        self._n_responses += 1
        nonce = str(self._n_responses)
        self._answers[nonce] = answer
        entries = tuple(Entry(r.name, r.version, r.any_bytes, _aliases(r)) for r in resources)
        send = Send(type_url=type_url, nonce=nonce, entries=entries, removed=removed)
        self._outgoing.put_nowait(wire.response(send))
        return answer

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        self._outgoing = asyncio.Queue()
        self._asked.clear()
        self._is_connected = True
        writer = asyncio.create_task(self._write(context))
        try:
            async for message in requests:
                decoded = wire.request(message)
                if not isinstance(decoded, wire.Malformed):
                    await self._take(decoded[0])
        finally:
            writer.cancel()
            self._lose()
            async with self._moved:
                self._moved.notify_all()

    async def _write(self, context: Any) -> None:
        while True:
            await context.write(await self._outgoing.get())

    async def _take(self, request: Requested) -> None:
        answer = self._answers.pop(request.nonce, None)
        if answer is not None and not answer.done():
            answer.set_result(request.error)
        is_new = request.type_url not in self._asked
        asked = self._asked.setdefault(request.type_url, set())
        asked.difference_update(request.unsubscribe)
        asked.update(request.subscribe)
        for resource in self._permanent(request, is_new=is_new):
            self._forget(self.send(request.type_url, *resource))
        async with self._moved:
            self._moved.notify_all()

    def _permanent(self, request: Requested, *, is_new: bool) -> list[tuple[Resource, ...]]:
        if request.type_url == names.TYPE_CLUSTER and is_new:
            return [()]
        if request.type_url == names.TYPE_LISTENER and is_new:
            return [(route_listener(OUTBOUND_ROUTE, port=1),)]  # no two listeners may share an address
        if request.type_url == names.TYPE_ROUTE and OUTBOUND_ROUTE in request.subscribe:
            return [(outbound_route(),)]
        if request.type_url == names.TYPE_VIRTUAL_HOST and not request.nonce:
            return [(_virtual_host(),)]
        return []

    def _forget(self, answer: asyncio.Future[str | None]) -> None:
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _lose(self) -> None:
        self._is_connected = False
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(EnvoyLost())
                self._forget(answer)


def _aliases(resource: Resource) -> tuple[str, ...]:
    return (resource.name,) if resource.type_url == names.TYPE_VIRTUAL_HOST else ()


def _resource(type_url: str, name: str, message: Message) -> Resource:
    wrapped = AnyMessage()
    wrapped.Pack(message, deterministic=True)
    return Resource.of(type_url, name, wrapped.SerializeToString(deterministic=True))


def route_listener(route: str, *, port: int = 2) -> Resource:
    """A listener that binds no port and makes Envoy ask for the route configuration `route`."""
    router = {"name": "router", "typed_config": {"@type": f"type.googleapis.com/{_ROUTER}"}}
    manager = {
        "@type": f"type.googleapis.com/{_HTTP}",
        "stat_prefix": "prover",
        "rds": {"route_config_name": route, "config_source": _ADS},
        "http_filters": [router],
    }
    body = {
        "name": f"prover/{route}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "bind_to_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return _resource(names.TYPE_LISTENER, f"prover/{route}", ParseDict(body, listener_pb2.Listener()))


def outbound_route() -> Resource:
    """The route configuration whose virtual hosts come one by one."""
    body = {"name": OUTBOUND_ROUTE, "vhds": {"config_source": _ADS}}
    return _resource(names.TYPE_ROUTE, OUTBOUND_ROUTE, ParseDict(body, route_pb2.RouteConfiguration()))


def endpoints_cluster(name: str) -> Resource:
    """A cluster that makes Envoy ask for the endpoints of `name`."""
    body = {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": _ADS}, "connect_timeout": "1s"}
    return _resource(names.TYPE_CLUSTER, name, ParseDict(body, cluster_pb2.Cluster()))


def _virtual_host() -> Resource:
    name = f"{OUTBOUND_ROUTE}/prover"
    body = {"name": name, "domains": ["prover.invalid"]}
    return _resource(names.TYPE_VIRTUAL_HOST, name, ParseDict(body, route_components_pb2.VirtualHost()))
