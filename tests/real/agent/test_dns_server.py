"""The DNS server on real sockets: mesh names, forwarding with bounds, TCP, and packets that are no queries."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from byway.agent.dns_server import NAMES_FILE, READY_FILE, Duty, Served, serve
from byway.agent.dns_sockets import opened

NAME = "web.default.svc.cluster.local"


class Resolver(asyncio.DatagramProtocol):
    """A host's resolver that knows one name, and is silent about `silent.example`."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.n_queries = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.n_queries += 1
        query = dns.message.from_wire(data)
        if "silent" not in query.question[0].name.to_text():
            answer = dns.message.make_response(query)
            answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.7"))
            self.transport.sendto(b"junk", addr)
            self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def server(tmp_path: Path, free_port: Any, eventually: Any) -> AsyncIterator[tuple[int, Resolver]]:
    """A DNS server in this very namespace, and the resolver that it forwards to."""
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(Resolver, local_addr=("127.0.0.1", 0))
    (tmp_path / NAMES_FILE).write_text(f'{{"{NAME}":"240.240.0.1"}}')
    upstream = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    here = Path("/proc/self/ns/net")
    duty = Duty((Served(str(here), "default"),), port=free_port(), resolvers=(upstream,))
    serving = asyncio.create_task(serve(duty, tmp_path, [opened(here, duty.port)]))

    async def is_ready() -> bool:
        return (tmp_path / READY_FILE).exists()

    await eventually(is_ready, 5)
    yield duty.port, resolver
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    transport.close()


async def asked(port: int, name: str, *, has_tcp: bool = False) -> dns.message.Message:
    ask = dns.asyncquery.tcp if has_tcp else dns.asyncquery.udp
    answer: dns.message.Message = await ask(dns.message.make_query(name, "A"), "127.0.0.1", port=port, timeout=5)
    return answer


async def test_mesh_names_are_answered_by_datagram_and_by_stream(server: Any) -> None:
    """Both the same, and nobody else is asked."""
    port, resolver = server
    for has_tcp in (False, True):
        answer = await asked(port, NAME, has_tcp=has_tcp)
        assert "240.240.0.1" in answer.to_text()
    assert resolver.n_queries == 0


async def test_a_new_table_is_in_force_with_the_next_query(server: Any, tmp_path: Path) -> None:
    """A table that cannot be read changes nothing."""
    port, _ = server
    from byway.agent.layout import write_whole

    write_whole(tmp_path / NAMES_FILE, b'{"new.default.svc.cluster.local":"240.240.0.9"}')
    assert "240.240.0.9" in (await asked(port, "new.default.svc.cluster.local")).to_text()
    assert (await asked(port, NAME)).rcode() == dns.rcode.NXDOMAIN
    write_whole(tmp_path / NAMES_FILE, b'{"half')
    assert "240.240.0.9" in (await asked(port, "new.default.svc.cluster.local")).to_text()


async def test_foreign_names_are_forwarded_and_junk_from_a_resolver_is_not_believed(server: Any) -> None:
    """The first packet that comes back is no answer."""
    port, resolver = server
    assert "203.0.113.7" in (await asked(port, "www.example")).to_text()
    assert resolver.n_queries == 1


async def test_a_silent_resolver_is_given_up_within_the_bound(server: Any) -> None:
    """SERVFAIL, so that the application fails fast; others are answered in the meantime."""
    port, _ = server
    waiting = asyncio.create_task(asked(port, "silent.example"))
    assert "240.240.0.1" in (await asked(port, NAME)).to_text()
    assert (await waiting).rcode() == dns.rcode.SERVFAIL


async def test_packets_that_are_no_queries_leave_the_server_standing(server: Any) -> None:
    """Garbage, answers, half queries and a stream that ends in the middle."""
    port, _ = server
    half = dns.message.make_query(NAME, "A").to_wire()[:-4]
    answer = dns.message.make_response(dns.message.make_query(NAME, "A")).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in (b"", b"\x00", b"\xff" * 512, half, answer, bytes(range(256)) * 4):
            sender.sendto(packet, ("127.0.0.1", port))
    for content in (b"\x00", struct.pack("!H", 500) + b"short", struct.pack("!H", 3) + b"abc"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        writer.write_eof()
        writer.close()
    assert "240.240.0.1" in (await asked(port, NAME, has_tcp=True)).to_text()
    assert "240.240.0.1" in (await asked(port, NAME)).to_text()
