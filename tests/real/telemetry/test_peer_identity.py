"""The sender of a report is who its certificate says, over real mutual TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from byway.telemetry.sender import SenderRefusedError, spiffe_peer
from tests.real.telemetry.sidecars import CLIENT, SERVER, certificate


async def _identity_seen(folder: Path, *, server_certificate: str, client_certificate: str) -> str:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def call(_: bytes, context: Any) -> bytes:
        try:
            seen.put_nowait(spiffe_peer(context))
        except SenderRefusedError:
            seen.put_nowait("refused")
        return b""

    def pem(name: str) -> tuple[bytes, bytes]:
        return (folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes()

    root = (folder / "root.pem").read_bytes()
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("t.T", {"Call": grpc.unary_unary_rpc_method_handler(call)})
    server.add_generic_rpc_handlers((handler,))
    credentials = grpc.ssl_server_credentials([pem(server_certificate)], root, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    key, chain = pem(client_certificate)
    try:
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root, key, chain)
        ) as channel:
            await channel.unary_unary("/t.T/Call", None, None)(b"", timeout=10)
        return await asyncio.wait_for(seen.get(), 10)
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [(CLIENT, CLIENT), ("https://example.org/not-spiffe", "refused")],
)
async def test_the_identity_is_the_spiffe_id_of_the_certificate(tmp_path: Path, uri: str, expected: str) -> None:
    """A certificate without a SPIFFE id names nobody."""
    root = certificate(tmp_path, "root", "spiffe://cluster.local")
    certificate(tmp_path, "server", SERVER, root)
    certificate(tmp_path, "client", uri, root)
    seen = await _identity_seen(tmp_path, server_certificate="server", client_certificate="client")
    assert seen == expected
