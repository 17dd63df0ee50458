"""The agent's door for one Envoy or gRPC client: a gRPC server on a Unix socket in that one's own directory.

SDS is answered here; discovery, metrics and traces are passed on to the control plane in the workload's name. That it
is *this* workload is known by the socket, which only its Envoy or client can open; nothing that one says about itself
is believed for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from byway.ads.relay import ADS, STATE_OF_THE_WORLD, Method, relay_service
from byway.agent import secrets
from byway.agent.credentials import Credential
from byway.agent.layout import SocketPath
from byway.agent.secrets import Refused, Secrets
from byway.agent.uplink import Uplink
from byway.base.errors import FaultError

METRICS: Final = Method("/envoy.service.metrics.v3.MetricsService/StreamMetrics", "stream-unary")
TRACES: Final = Method("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "unary-unary")
_SDS: Final = "envoy.service.secret.v3.SecretDiscoveryService"
_MESSAGE_LIMIT_BYTES: Final = 32 * 1024 * 1024
_STREAM_LIMIT: Final = 256

Context = Any  # grpc.aio.ServicerContext, whose stubs lack the reading and writing half

log = structlog.get_logger(__name__)


class SocketTaken(FaultError):
    """The workload's socket cannot be listened on."""


class Session(Protocol):
    """One SDS stream, of either variant."""

    refusal: Refused | None

    def requested(self, packet: bytes, held: Secrets) -> bytes | None:
        """The answer to a request."""

    def changed(self, held: Secrets) -> bytes | None:
        """The push due."""


class WorkloadSocket:
    """Serves one Envoy, or the gRPC clients of one workload."""

    def __init__(self, path: Path, owner: int | None, uplink: Uplink, instance: str) -> None:
        self._path = path
        self._owner = owner
        self._uplink = uplink
        self._instance = instance
        self._held: Secrets = {}
        self._rotations: set[asyncio.Event] = set()
        self._server: grpc.aio.Server | None = None
        self._dialled: SocketPath | None = None
        self.refusal: Refused | None = None

    def rotate(self, credential: Credential) -> None:
        """Takes a new credential into use, and pushes it to every stream."""
        self._held = secrets.secrets(
            chain_pem=credential.chain_pem, key_pem=credential.key_pem, bundle_pem=credential.bundle_pem
        )
        for rotation in self._rotations:
            rotation.set()

    async def start(self) -> None:
        """Listens; a socket that a former agent left is replaced."""
        self._path.unlink(missing_ok=True)
        options = [
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT_BYTES),
            ("grpc.max_concurrent_streams", _STREAM_LIMIT),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options)
        methods = (ADS, STATE_OF_THE_WORLD, METRICS, TRACES)
        relay = relay_service(methods, self._uplink.connected, recalled=self._uplink.recalled)
        self._server.add_generic_rpc_handlers((self._secret_service(), relay))
        self._dialled = SocketPath(self._path)
        try:
            self._server.add_insecure_port(f"unix:{self._dialled.text}")
        except RuntimeError as fault:
            raise SocketTaken(f"cannot listen on {self._path}: {fault}") from fault
        if self._owner is not None and os.geteuid() == 0:
            os.chown(self._path, self._owner, self._owner, follow_symlinks=False)
        self._path.chmod(0o600)
        await self._server.start()

    async def stop(self) -> None:
        """Stops listening; Envoy keeps what it has, and comes back by itself."""
        if self._server is not None:
            await self._server.stop(None)
        if self._dialled is not None:
            self._dialled.close()
        self._path.unlink(missing_ok=True)

    def _secret_service(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        methods = {
            "StreamSecrets": self._streaming(secrets.StateOfTheWorldSession),
            "DeltaSecrets": self._streaming(secrets.DeltaSession),
            "FetchSecrets": grpc.unary_unary_rpc_method_handler(self._fetch),
        }
        return grpc.method_handlers_generic_handler(_SDS, methods)

    def _streaming(self, session: Callable[[], Session]) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def serve(_: AsyncIterator[bytes], context: Context) -> None:
            await self._serve_secrets(session(), context)

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve_secrets(self, session: Session, context: Context) -> None:
        rotation = asyncio.Event()
        self._rotations.add(rotation)
        reading = asyncio.ensure_future(context.read())
        rotating = asyncio.ensure_future(rotation.wait())
        try:
            while True:
                await asyncio.wait((reading, rotating), return_when=asyncio.FIRST_COMPLETED)
                if rotating.done():
                    rotation.clear()
                    rotating = asyncio.ensure_future(rotation.wait())
                    await self._send(session.changed(self._held), context)
                if reading.done():
                    packet: Any = reading.result()
                    if not isinstance(packet, bytes):
                        return
                    await self._send(session.requested(packet, self._held), context)
                    self._note(session)
                    reading = asyncio.ensure_future(context.read())
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no discovery request")
        finally:
            self._rotations.discard(rotation)
            reading.cancel()
            rotating.cancel()
            await asyncio.gather(reading, rotating, return_exceptions=True)

    async def _send(self, response: bytes | None, context: Context) -> None:
        if response is not None:
            await context.write(response)

    def _note(self, session: Session) -> None:
        if session.refusal is not None and session.refusal != self.refusal:
            log.error("Envoy refused a secret", instance=self._instance, error=session.refusal.message)
        self.refusal = session.refusal

    async def _fetch(self, request: bytes, context: Context) -> bytes:
        return secrets.fetched(request, self._held)
