"""An agent enrols with a real CA: control socket first, then mutual TLS on a loopback port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from byway.agent.credentials import Credentials, NotIssued
from byway.agent.issuer import GrpcIssuer
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
    issuer = GrpcIssuer(state / "control.sock", (f"127.0.0.1:{port}",))
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
    issuer = GrpcIssuer(tmp_path / "control.sock", ("127.0.0.1:1",), timeout_s=0.5)
    with pytest.raises(NotIssued, match="the CA answered UNAVAILABLE"):
        await issuer.attest(b"", "host-a", 0)
    await issuer.close()


class ControlPlane:
    """One of several with the same CA: its port, and where it is the first, its control socket."""

    def __init__(self, state: Path, ca: Path | None) -> None:
        clock = SystemClock()
        self.authority = Authority(opened_signer(state, TD, clock.now(), given=ca), TD, clock)
        self._state = state
        self._servers: list[grpc.aio.Server] = []

    async def start(self) -> str:
        """Serves; the address."""
        service = CertificateService(self.authority, only_web)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((service.mutual_tls_handler(),))
        port = server.add_secure_port("127.0.0.1:0", ServingCertificate(self.authority).credentials())
        await server.start()
        self._servers = [server, await control_socket_server(self._state / "control.sock", service)]
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Serves no more."""
        for server in self._servers:
            await server.stop(None)


async def test_an_agent_whose_control_plane_is_gone_renews_at_another(tmp_path: Path) -> None:
    """Its own certificate as well: with the one that it has, over mutual TLS, from whoever has the mesh's CA."""
    state = tmp_path / "a"
    first, second = ControlPlane(state, None), ControlPlane(tmp_path / "b", state / "ca")
    addresses = (await first.start(), await second.start())
    pinned = trust_bundle((state / "root-cert.pem").read_bytes())
    issuer = GrpcIssuer(state / "control.sock", addresses, timeout_s=2.0, own=lambda: credentials.agent)
    credentials = Credentials("host-a", TD, issuer, pinned, clock=SystemClock(), jitter=lambda: 0.5)
    credentials.hold(WEB)
    run = asyncio.create_task(credentials.run())
    try:
        before = {i: await credentials.obtained(i, timeout_s=10) for i in (WEB, agent_id(TD))}
        await first.stop()
        renewed: asyncio.Queue[SpiffeId] = asyncio.Queue()
        credentials.subscribe(lambda credential: renewed.put_nowait(credential.identity))
        credentials.pin(pinned)
        async with asyncio.timeout(10):
            assert {await renewed.get(), await renewed.get()} == set(before)
        after = {i: await credentials.obtained(i, timeout_s=1) for i in before}
        assert all(after[i].facts.serial != before[i].facts.serial for i in before)
        assert after[agent_id(TD)].facts.dns_names == ("node.host-a.byway",)
        assert second.authority.log.counts()["citadel_server_csr_count"] >= 2
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await issuer.close()
        await second.stop()
