"""Two sidecars, each a real Envoy, with an application behind them and one observatory that both report to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import envoy
import grpc
import httpx
import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2

from byway.base.clock import SystemClock
from byway.telemetry import ingest as telemetry_ingest
from byway.telemetry import otlp as telemetry_otlp
from byway.telemetry.observatory import Observatory
from byway.telemetry.sender import Sender, SenderRefusedError
from tests.real.telemetry.sidecars import (
    CLIENT,
    LINKS,
    SERVER,
    WEB,
    Ports,
    certificate,
    client_bootstrap,
    server_bootstrap,
)

WAIT_S = 20.0
BINARY = next(path for path in (Path(p) / "_bin" / "envoy" for p in envoy.__path__) if path.exists())


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Reports:
    """What a sidecar sent, as bytes, before the observatory reads it."""

    def __init__(self, observatory: Observatory) -> None:
        self.observatory = observatory
        self.metrics: list[bytes] = []
        self.exports: list[bytes] = []
        self.changed = asyncio.Condition()

    async def stream_metrics(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        async def watched() -> AsyncIterator[bytes]:
            async for message in messages:
                yield message
                self.metrics.append(message)
                async with self.changed:
                    self.changed.notify_all()

        return await self.observatory.ingest.stream_metrics(watched(), context)

    async def export(self, message: bytes, context: Any) -> bytes:
        answer = await self.observatory.receiver.export(message, context)
        self.exports.append(message)
        async with self.changed:
            self.changed.notify_all()
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for reports until `holds()`."""
        async with asyncio.timeout(WAIT_S), self.changed:
            await self.changed.wait_for(holds)

    def server(self, path: Path, identity: str) -> grpc.aio.Server:
        """An agent's socket: what comes in over it comes from that identity."""

        async def stream(messages: AsyncIterator[bytes], _: Any) -> bytes:
            return await self.stream_metrics(messages, identity)

        async def export(message: bytes, _: Any) -> bytes:
            return await self.export(message, identity)

        made = grpc.aio.server()
        made.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    telemetry_ingest.SERVICE, {"StreamMetrics": grpc.stream_unary_rpc_method_handler(stream)}
                ),
                grpc.method_handlers_generic_handler(
                    telemetry_otlp.SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)}
                ),
            )
        )
        made.add_insecure_port(f"unix://{path}")
        return made


class Sidecars:
    """The ports of a running pair."""

    def __init__(self, directory: Path, reports: Reports) -> None:
        self.directory = directory
        self.reports = reports
        self.observatory = reports.observatory
        self.ports = Ports(*(free_port() for _ in range(5)))
        self.seen: list[dict[str, str]] = []
        self.n_starts = 0

    def request(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=10, trust_env=False)

    async def call(self, path: str, **headers: str) -> int:
        """Calls the application through both sidecars."""
        async with self.request() as client:
            answer = await client.get(f"http://127.0.0.1:{self.ports.outbound}{path}", headers=headers)
            return answer.status_code

    def total(self, name: str, **labels: str) -> float:
        """The sum of a counter's series that have those labels."""
        return sum(
            counter.total
            for counter in self.observatory.aggregate.counters()
            if counter.name == name and labels.items() <= dict(counter.labels).items()
        )


@contextlib.asynccontextmanager
async def application(pair: Sidecars) -> AsyncIterator[None]:
    """Answers every request; `/hop` first calls itself through the outbound listener and passes the trace headers on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
                path = first.split(" ")[1]
                pair.seen.append({":path": path, **headers})
                if path == "/hop":
                    passed = {k: v for k, v in headers.items() if k in ("traceparent", "tracestate", "x-request-id")}
                    async with pair.request() as client:
                        await client.get(f"http://127.0.0.1:{pair.ports.outbound}/leaf", headers=passed)
                status = "503 Unavailable" if path == "/broken" else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok".encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", pair.ports.app)
    try:
        yield
    finally:
        server.close()


@contextlib.asynccontextmanager
async def running(folder: Path, name: str, made: bootstrap_pb2.Bootstrap) -> AsyncIterator[None]:
    """A real Envoy, ready to serve, and gone afterwards."""
    config = folder / f"{name}.pb"
    config.write_bytes(made.SerializeToString())
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(BINARY), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(WAIT_S):
                await _ready(Path(made.admin.address.pipe.path), process, folder / f"{name}.log")
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                async with asyncio.timeout(WAIT_S):
                    await process.wait()


async def _ready(admin: Path, process: asyncio.subprocess.Process, log: Path) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(admin))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/ready")).status_code == 200:
                    return
            await asyncio.sleep(0)
    pytest.fail(_end_of(log))


def _end_of(log: Path) -> str:
    return log.read_text()[-4000:]


def admission(peer: str, node_id: str, metadata: Mapping[str, str]) -> Sender:
    """Admits the pair's two instances, each under its own identity only."""
    known = {"web-1": WEB, "links-stable-1": LINKS}.get(metadata["INSTANCE"])
    if known is None or known.principal != peer or metadata["INSTANCE"] not in node_id:
        raise SenderRefusedError("not one of the pair")
    return Sender(instance=metadata["INSTANCE"], epoch=metadata["EPOCH"], peer=known)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Sidecars]:
    """The server's sidecar with its application, and agents' sockets; tests start the client's with `client`."""
    root = certificate(tmp_path, "root", "spiffe://cluster.local")
    certificate(tmp_path, "client", CLIENT, root)
    certificate(tmp_path, "server", SERVER, root)
    reports = Reports(Observatory(SystemClock(), admission, peer_identity=str))
    made = Sidecars(tmp_path, reports)
    agents = [reports.server(tmp_path / "web.sock", CLIENT), reports.server(tmp_path / "links.sock", SERVER)]
    for agent in agents:
        await agent.start()
    try:
        async with application(made), running(tmp_path, "server", server_bootstrap(tmp_path, made.ports)):
            yield made
    finally:
        for agent in agents:
            await agent.stop(0)


@pytest.fixture
def client(pair: Sidecars) -> Callable[[], contextlib.AbstractAsyncContextManager[None]]:
    """Starts the client's sidecar; each start is a new life with a new epoch."""

    def started() -> contextlib.AbstractAsyncContextManager[None]:
        pair.n_starts += 1
        return running(
            pair.directory, f"client-{pair.n_starts}", client_bootstrap(pair.directory, pair.ports, str(pair.n_starts))
        )

    return started
