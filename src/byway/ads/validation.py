"""What `envoy --mode validate` says to a resource: the proof for when no resident Envoy can be kept alive.

Each resource gets a process of its own (some 70 ms), which reads it as static configuration and ends. A resource that
kills even that process is refused: no Envoy of the fleet may see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Final, TypeVar

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from byway.ads.resident import bootstrap
from byway.base.errors import FaultError
from byway.model import names
from byway.xds.resource import Resource

LIMIT_S: Final = 20.0
_KNOWN: Final = (http_protocol_options_pb2,)
"""Imported so that the JSON parser finds its messages."""
_WORDS: Final = "error initializing configuration"
_LONGEST: Final = 2_000


_M = TypeVar("_M", bound=Message)


class NotValidated(FaultError):
    """Envoy gave no verdict, and why."""


async def refusal(binary: Path, resource: Resource) -> str | None:
    """Why Envoy refuses the resource, in its own words; None if it takes it. Raises `NotValidated`."""
    with tempfile.TemporaryDirectory(prefix="byway-validate-") as folder:
        config = Path(folder) / "bootstrap.pb"
        config.write_bytes(_bootstrap(resource, Path(folder)).SerializeToString())
        flags = ("--mode", "validate", "--disable-hot-restart", "--log-level", "error", "--config-path", str(config))
        try:
            process = await asyncio.create_subprocess_exec(
                str(binary),
                *flags,
                env={},  # as the resident one's
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise NotValidated(f"{binary} cannot be run: {error.strerror}") from error
        said = await _said(process)
    if process.returncode == 0:
        return None
    if process.returncode is not None and process.returncode < 0:
        return f"Envoy dies of it ({signal.Signals(-process.returncode).name})"
    _, found, reason = said.partition(_WORDS)
    if not found:
        raise NotValidated(f"`envoy --mode validate` ended with {process.returncode}: {said.strip()[:200]}")
    return " ".join(reason.partition(": ")[2].split())[:_LONGEST]


async def _said(process: asyncio.subprocess.Process) -> str:
    try:
        async with asyncio.timeout(LIMIT_S):
            _, errors = await process.communicate()
    except TimeoutError:
        raise NotValidated(f"`envoy --mode validate` gave no answer within {LIMIT_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return errors.decode(errors="replace")


def _bootstrap(resource: Resource, folder: Path) -> bootstrap_pb2.Bootstrap:
    """A bootstrap that holds the resource; raises `NotValidated` for a type that cannot be static."""
    made = bootstrap_pb2.Bootstrap()
    ParseDict(bootstrap(folder / "ads.sock"), made)
    static = made.static_resources
    if resource.type_url == names.TYPE_CLUSTER:
        static.clusters.append(_unpacked(resource, cluster_pb2.Cluster()))
    elif resource.type_url == names.TYPE_LISTENER:
        static.listeners.append(_unpacked(resource, listener_pb2.Listener()))
    elif resource.type_url == names.TYPE_VIRTUAL_HOST:
        host = _unpacked(resource, route_components_pb2.VirtualHost())
        static.listeners.append(_listener(route_pb2.RouteConfiguration(virtual_hosts=[host])))
    elif resource.type_url == names.TYPE_ROUTE:
        static.listeners.append(_listener(_unpacked(resource, route_pb2.RouteConfiguration())))
    else:
        raise NotValidated(f"{resource.type_url.rpartition('.')[2]} cannot be validated alone")
    return made


def _listener(routes: route_pb2.RouteConfiguration) -> listener_pb2.Listener:
    routes.validate_clusters.value = False
    routes.ClearField("vhds")
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="validation", route_config=routes)
    manager.http_filters.add(name="router").typed_config.Pack(router_pb2.Router())
    listener = listener_pb2.Listener(name="validation")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 1
    listener.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    return listener


def _unpacked(resource: Resource, message: _M) -> _M:
    if not AnyMessage.FromString(resource.any_bytes).Unpack(message):
        raise NotValidated(f"{resource.name} is not what its type says")
    return message
