"""An agent enrols with a real CA: control socket first, then mutual TLS on a loopback port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from byway.agent.credentials import Credentials, GrpcIssuer, NotIssued
from byway.authority.authority import Authority
from byway.authority.control_socket import control_socket_server
from byway.authority.server import CertificateService
from byway.authority.serving import ServingCertificate
from byway.authority.vault import opened_signer
from byway.base.clock import SystemClock
from byway.identity.bundle import trust_bundle, trusted_leaf
from byway.identity.roles import agent_id
from byway.identity.spiffe import SpiffeId, TrustDomain, workload_id

TD = TrustDomain("cluster.local")
WEB, ADMIN = (workload_id(TD, "default", name) for name in ("web", "admin"))


def only_web(agent: SpiffeId, node: str, target: SpiffeId) -> bool:
    return (node, target) == ("host-a", WEB)


async def test_a_real_ca_over_the_control_socket_and_mutual_tls_serves_a_real_agent(tmp_path: Path) -> None:
    """From nothing but root-cert.pem and the socket: the agent, its workload, and a refusal for another's."""
    clock, state = SystemClock(), tmp_path / "state"
    authority = Authority(opened_signer(state, TD, clock.now()), TD, clock)
    service = CertificateService(authority, only_web)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.mutual_tls_handler(),))
    port = server.add_secure_port("127.0.0.1:0", ServingCertificate(authority).credentials())
    await server.start()
    control = await control_socket_server(state / "control.sock", service)
    issuer = GrpcIssuer(state / "control.sock", f"127.0.0.1:{port}")
    pinned = trust_bundle((state / "root-cert.pem").read_bytes())
    credentials = Credentials("host-a", TD, issuer, pinned, clock=clock, jitter=lambda: 0.5)
    credentials.hold(WEB)
    credentials.hold(ADMIN)
    run = asyncio.create_task(credentials.run())
    try:
        web = await credentials.obtained(WEB, timeout_s=10)
        assert trusted_leaf(web.chain_pem, pinned, clock.now()).identity == WEB
        agent = await credentials.obtained(agent_id(TD), timeout_s=10)
        assert agent.facts.dns_names == ("node.host-a.byway",)
        with pytest.raises(NotIssued, match=r"PERMISSION_DENIED: not allowed"):
            await credentials.obtained(ADMIN, timeout_s=0.3)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await issuer.close()
        await control.stop(None)
        await server.stop(None)


async def test_a_ca_that_is_not_there_is_told_readably(tmp_path: Path) -> None:
    """No socket, no port: the reason is one line with gRPC's status in it."""
    issuer = GrpcIssuer(tmp_path / "control.sock", "127.0.0.1:1", timeout_s=0.5)
    with pytest.raises(NotIssued, match="the CA answered UNAVAILABLE"):
        await issuer.attest(b"", "host-a", 0)
    await issuer.close()
