"""The CA over real gRPC: mutual TLS on a loopback port and the control socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from byway.authority.authority import Authority
from byway.authority.control_socket import UnusableSocket, control_socket_server
from byway.authority.server import CertificateService
from byway.authority.serving import ServingCertificate
from byway.identity.bundle import trust_bundle, trusted_leaf
from byway.identity.certificate import chain_facts
from byway.identity.certificate_service import PATH, CertificateRequest, decoded_response, encoded_request
from byway.identity.roles import CONTROL_PLANE_HOST, agent_id, control_plane_id
from byway.identity.spiffe import SpiffeId, TrustDomain, workload_id

TD = TrustDomain("cluster.local")
WEB = workload_id(TD, "default", "web")
ADMIN = workload_id(TD, "default", "admin")


def policy(agent: SpiffeId, node: str, target: SpiffeId) -> bool:
    if target.workload == ("default", "broken"):
        raise ValueError("secret detail")
    return node == "host-a" and target == WEB


class Ca:
    """A running CA with both doors open, and clients to knock at them."""

    def __init__(self, authority: Authority, serving: ServingCertificate, port: int, control: Path) -> None:
        self.authority = authority
        self.serving = serving
        self.port = port
        self.control = control

    def mutual_tls(self, identity: SpiffeId | None, csr: Any, dns_names: tuple[str, ...] = ()) -> grpc.aio.Channel:
        roots = self.authority.bundle.pem
        if identity is None:
            tls = grpc.ssl_channel_credentials(roots)
        else:
            key, _ = csr()
            chain = self.authority.issue(identity, key.public_key(), dns_names=dns_names, via="test")
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            tls = grpc.ssl_channel_credentials(roots, pem, chain)
        options = [
            ("grpc.ssl_target_name_override", CONTROL_PLANE_HOST),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", tls, options=options)


async def ask(channel: grpc.aio.Channel, request: CertificateRequest | bytes) -> tuple[str, ...]:
    encoded = request if isinstance(request, bytes) else encoded_request(request)
    method = channel.unary_unary(PATH, request_serializer=bytes, response_deserializer=bytes)
    return decoded_response(await method(encoded, timeout=10))


async def refused(channel: grpc.aio.Channel, request: CertificateRequest | bytes) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, request)
    return caught.value.code(), caught.value.details()


@pytest.fixture
async def ca(authority: Authority, state: Path) -> AsyncIterator[Ca]:
    service = CertificateService(authority, policy)
    serving = ServingCertificate(authority, wished_s=60)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.mutual_tls_handler(),))
    port = server.add_secure_port("127.0.0.1:0", serving.credentials())
    await server.start()
    control = await control_socket_server(state / "control.sock", service)
    try:
        yield Ca(authority, serving, port, state / "control.sock")
    finally:
        await control.stop(None)
        await server.stop(None)


async def test_the_control_socket_gives_the_agents_identity_bound_to_its_node(ca: Ca, csr: Any, clock: Any) -> None:
    """The chain verifies under the roots that come last, and the node stands in the certificate."""
    _, pem = csr()
    async with grpc.aio.insecure_channel(f"unix:{ca.control}") as channel:
        *chain, roots = await ask(channel, CertificateRequest(pem, 60, {"Node": "host-a"}))
    bundle = trust_bundle(roots.encode())
    facts = trusted_leaf("".join(chain).encode(), bundle, clock.now())
    assert bundle == ca.authority.bundle
    assert facts.identity == agent_id(TD)
    assert facts.dns_names == ("node.host-a.byway",)


async def test_the_control_socket_gives_nothing_else(ca: Ca, csr: Any) -> None:
    """No workload, and no agent without a node."""
    _, pem = csr()
    async with grpc.aio.insecure_channel(f"unix:{ca.control}") as channel:
        for metadata, status in (
            ({"Node": "host-a", "ImpersonatedIdentity": str(WEB)}, grpc.StatusCode.PERMISSION_DENIED),
            ({}, grpc.StatusCode.UNAUTHENTICATED),
            ({"Node": "../host"}, grpc.StatusCode.UNAUTHENTICATED),
        ):
            assert (await refused(channel, CertificateRequest(pem, 60, metadata)))[0] is status


async def test_the_control_socket_is_opened_by_its_owner_only(ca: Ca) -> None:
    """Mode 0600, in a directory of 0700."""
    assert stat.S_IMODE(ca.control.stat().st_mode) == 0o600
    assert stat.S_IMODE(ca.control.parent.stat().st_mode) == 0o700


async def test_a_dead_control_socket_is_taken_over_and_a_live_one_is_not(
    ca: Ca, authority: Authority, state: Path
) -> None:
    """A second control plane is refused; what a killed one left behind is no hindrance."""
    service = CertificateService(authority, policy)
    with pytest.raises(UnusableSocket, match="another control plane"):
        await control_socket_server(ca.control, service)
    stale = state / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(stale))
    server = await control_socket_server(stale, service)
    await server.stop(None)
    (state / "file.sock").touch()
    with pytest.raises(UnusableSocket, match="is not a socket"):
        await control_socket_server(state / "file.sock", service)
    with pytest.raises(UnusableSocket, match="longer than"):
        await control_socket_server(state / ("x" * 200), service)


async def test_an_agent_gets_a_workload_of_its_node(ca: Ca, csr: Any) -> None:
    """Impersonation as Istio's node proxy does it."""
    key, pem = csr()
    async with ca.mutual_tls(agent_id(TD), csr, ("node.host-a.byway",)) as channel:
        chain = await ask(channel, CertificateRequest(pem, 0, {"ImpersonatedIdentity": str(WEB)}))
    facts = chain_facts(chain[0].encode())
    assert (facts.identity, facts.dns_names) == (WEB, ())
    assert x509.load_pem_x509_certificate(chain[0].encode()).public_key() == key.public_key()


async def test_an_agent_of_another_node_is_refused(ca: Ca, csr: Any) -> None:
    """Whatever node it names in its request, its certificate says another."""
    _, pem = csr()
    request = CertificateRequest(pem, 0, {"ImpersonatedIdentity": str(WEB), "Node": "host-a"})
    async with ca.mutual_tls(agent_id(TD), csr, ("node.host-b.byway",)) as channel:
        assert await refused(channel, request) == (grpc.StatusCode.PERMISSION_DENIED, "not allowed")


async def test_an_agent_renews_itself_and_keeps_its_node(ca: Ca, csr: Any) -> None:
    """A node named in the request is not looked at."""
    _, pem = csr()
    async with ca.mutual_tls(agent_id(TD), csr, ("node.host-a.byway",)) as channel:
        chain = await ask(channel, CertificateRequest(pem, 0, {"Node": "host-b"}))
    assert chain_facts(chain[0].encode()).dns_names == ("node.host-a.byway",)


async def test_a_workload_renews_itself_whatever_its_request_says(ca: Ca, csr: Any) -> None:
    """The name of the admin, CA:TRUE and a NUL inside the request are not even read."""
    names = [x509.UniformResourceIdentifier(str(ADMIN)), x509.UniformResourceIdentifier(f"{WEB}\x00.evil")]
    _, pem = csr(x509.BasicConstraints(ca=True, path_length=None), x509.SubjectAlternativeName(names))
    async with ca.mutual_tls(WEB, csr) as channel:
        chain = await ask(channel, CertificateRequest(pem, 100 * 365 * 86_400))
        facts = chain_facts(chain[0].encode())
        assert facts.identity == WEB
        assert (facts.not_after - ca.authority.clock.now()).total_seconds() <= 86_400
        impersonating = CertificateRequest(pem, 0, {"ImpersonatedIdentity": str(ADMIN)})
        assert (await refused(channel, impersonating))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_every_fault_is_opaque_to_the_client_and_told_in_the_log(ca: Ca, csr: Any) -> None:
    """The client learns a status and four words; the reason is in the log and in the counters."""
    _, pem = csr()
    broken = str(workload_id(TD, "default", "broken"))
    faults: list[tuple[CertificateRequest | bytes, grpc.StatusCode, str]] = [
        (CertificateRequest(b"garbage"), grpc.StatusCode.INVALID_ARGUMENT, "not exactly one PEM block"),
        (CertificateRequest(pem * 3), grpc.StatusCode.INVALID_ARGUMENT, "not exactly one PEM block"),
        (CertificateRequest(pem, -1), grpc.StatusCode.INVALID_ARGUMENT, "negative"),
        (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "not a message"),
        (b"\x0a" + b"x" * 70_000, grpc.StatusCode.INVALID_ARGUMENT, "longer than"),
        (CertificateRequest(pem, 0, {"ImpersonatedIdentity": broken}), grpc.StatusCode.INTERNAL, "secret detail"),
    ]
    async with ca.mutual_tls(agent_id(TD), csr, ("node.host-a.byway",)) as channel:
        for request, status, reason in faults:
            with structlog.testing.capture_logs() as logs:
                code, details = await refused(channel, request)
            assert code is status
            assert details in ("certificate request refused", "certificate could not be issued")
            (line,) = logs
            assert reason in line.get("reason", "") or line["log_level"] == "error"
    statistics = ca.authority.statistics()
    assert statistics["citadel_server_csr_count"] == len(faults)
    assert statistics["citadel_server_csr_parsing_err_count"] == 5
    assert statistics["citadel_server_csr_sign_err_count"] == 1


async def test_a_client_without_a_certificate_gets_no_connection(ca: Ca, csr: Any) -> None:
    """The handshake itself fails; nothing of the service is reached."""
    async with ca.mutual_tls(None, csr) as channel:
        assert (await refused(channel, b""))[0] is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ca.port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        assert (await refused(channel, b""))[0] is grpc.StatusCode.UNAVAILABLE
    assert ca.authority.statistics()["citadel_server_csr_count"] == 0


async def test_an_expired_certificate_on_an_open_connection_is_refused(ca: Ca, csr: Any, clock: Any) -> None:
    """A connection may live on, but the certificate it was opened with gets no other."""
    _, pem = csr()
    async with ca.mutual_tls(WEB, csr) as channel:
        await ask(channel, CertificateRequest(pem))
        clock.turn(2 * 86_400)
        assert (await refused(channel, CertificateRequest(pem)))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_each_certificate_leaves_one_audit_line(ca: Ca, csr: Any) -> None:
    """Serial number, identity, node and end; and `byway certs` can list it."""
    _, pem = csr()
    async with ca.mutual_tls(agent_id(TD), csr, ("node.host-a.byway",)) as channel:
        with structlog.testing.capture_logs() as logs:
            chain = await ask(channel, CertificateRequest(pem, 60, {"ImpersonatedIdentity": str(WEB)}))
    facts = chain_facts(chain[0].encode())
    (line,) = logs
    assert line["event"] == "certificate issued"
    assert (line["serial"], line["identity"], line["node"]) == (facts.serial, str(WEB), "host-a")
    assert line["not_after"] == facts.not_after.isoformat()
    current = {entry.identity: entry for entry in ca.authority.log.current(ca.authority.clock.now())}
    assert current[str(WEB)].serial == facts.serial
    assert current[str(control_plane_id(TD))].via == "in-process"


def served_serial(port: int, *, name: str | None, roots: str) -> str:
    """The serial number of the certificate that the port shows; with a name, the chain is verified for it."""
    tls = ssl.create_default_context(cadata=roots)
    tls.set_alpn_protocols(["h2"])
    tls.check_hostname = name is not None
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        tls.wrap_socket(connection, server_hostname=name) as session,
    ):
        shown = session.getpeercert(binary_form=True)
    assert shown is not None
    return f"{x509.load_der_x509_certificate(shown).serial_number:x}"


async def test_the_serving_certificate_rotates_without_a_restart(ca: Ca, csr: Any, clock: Any) -> None:
    """At half of its life new handshakes see another certificate; connections that are open stay open."""
    roots = ca.authority.bundle.pem.decode()
    _, pem = csr()

    async def serial() -> str:
        return await asyncio.to_thread(served_serial, ca.port, name=CONTROL_PLANE_HOST, roots=roots)

    async with ca.mutual_tls(WEB, csr) as channel:
        await ask(channel, CertificateRequest(pem))
        first = await serial()
        clock.turn(29)
        assert await serial() == first
        clock.turn(2)
        second = await serial()
        assert second != first
        assert await serial() == second == ca.serving.current().facts.serial
        await ask(channel, CertificateRequest(pem))
    async with ca.mutual_tls(WEB, csr) as channel:
        await ask(channel, CertificateRequest(pem))


async def test_the_control_planes_certificate_names_it(ca: Ca) -> None:
    """Its SPIFFE id for the mesh, its DNS names for gRPC clients."""
    facts = chain_facts(ca.serving.current().chain_pem)
    assert facts.identity == control_plane_id(TD)
    assert facts.dns_names == (CONTROL_PLANE_HOST, "localhost")


async def test_a_failed_rotation_keeps_the_old_certificate(authority: Authority, clock: Any) -> None:
    """When the CA itself has expired, the port goes on with what it has and the log says why."""
    serving = ServingCertificate(authority)
    before = serving.current()
    clock.turn(3651 * 86_400)
    with structlog.testing.capture_logs() as logs:
        assert serving.current() == before
    assert "expired" in str(authority.diagnostics()[0])
    assert [line["log_level"] for line in logs] == ["error"]


async def test_a_thousand_requests_at_once_are_answered_in_seconds(ca: Ca, csr: Any) -> None:
    """A whole fleet that starts together waits for at most a few seconds."""
    _, pem = csr()
    async with ca.mutual_tls(WEB, csr) as channel:
        answers = await asyncio.gather(*(ask(channel, CertificateRequest(pem)) for _ in range(1000)))
    assert len({chain[0] for chain in answers}) == 1000
