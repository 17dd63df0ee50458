"""DNS answers for a workload of namespace `default`."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byway.agent.dns import (
    is_answer_to,
    local_answer,
    malformed,
    name_servers,
    question,
    wire,
)

NAMES = {"web.default.svc.cluster.local": "240.240.0.1", "web.shop.svc.cluster.local": "240.240.0.2"}


def answered(name: str, kind: str = "A", namespace: str = "default") -> dns.message.Message | None:
    """The mesh's answer to a question."""
    query = question(dns.message.make_query(name, kind).to_wire())
    assert query is not None
    return local_answer(query, namespace, NAMES)


@pytest.mark.parametrize(
    ("name", "namespace", "address"),
    [
        ("web", "default", "240.240.0.1"),
        ("WEB", "default", "240.240.0.1"),
        ("web", "shop", "240.240.0.2"),
        ("web.shop", "default", "240.240.0.2"),
        ("web.shop.svc", "default", "240.240.0.2"),
        ("web.default.svc.cluster.local", "shop", "240.240.0.1"),
    ],
)
def test_every_spelling_leads_to_the_virtual_address(name: str, namespace: str, address: str) -> None:
    """Short, with the namespace, with `svc`, and full; in any case."""
    answer = answered(name, namespace=namespace)
    assert answer is not None
    assert [(r.ttl, r[0].address) for r in answer.answer] == [(30, address)]
    assert answer.rcode() == dns.rcode.NOERROR


def test_a_mesh_name_has_no_ipv6_address_but_exists() -> None:
    """NOERROR without an answer, so that the resolver does not go on searching."""
    answer = answered("web.default.svc.cluster.local", "AAAA")
    assert answer is not None
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


def test_unknown_names_of_the_mesh_are_answered_and_not_forwarded() -> None:
    """Also what a resolver makes of a foreign name with the search domains."""
    for name in ("nobody.default.svc.cluster.local", "example.com.default.svc.cluster.local", "cluster.local"):
        answer = answered(name)
        assert answer is not None
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert answer.authority


def test_foreign_names_are_forwarded() -> None:
    """The mesh does not answer for the world."""
    assert answered("example.com") is None
    assert answered("notcluster.local") is None


def test_an_answer_too_long_for_a_datagram_is_cut_and_marked() -> None:
    """The resolver then asks by TCP."""
    query = dns.message.make_query("web", "A")
    answer = dns.message.make_response(query)
    text = [f"web. 30 IN A 10.0.{n // 256}.{n % 256}" for n in range(100)]
    answer.answer.append(dns.rrset.from_text_list("web.", 30, "IN", "A", [t.split()[-1] for t in text]))
    cut = dns.message.from_wire(wire(answer, query, is_datagram=True))
    assert cut.flags & dns.flags.TC
    assert len(dns.message.from_wire(wire(answer, query, is_datagram=False)).answer[0]) == 100


def test_a_resolvers_answer_must_fit_the_question() -> None:
    """Another id or another question is not believed."""
    query = dns.message.make_query("example.com", "A")
    other = dns.message.make_query("example.org", "A", id=query.id)
    assert is_answer_to(dns.message.make_response(query).to_wire(), query.to_wire())
    assert not is_answer_to(dns.message.make_response(other).to_wire(), query.to_wire())
    assert not is_answer_to(b"\x00", query.to_wire())


@given(st.binary(max_size=600))
@example(b"\x00" * 12)
@example(dns.message.make_query("web", "A").to_wire()[:-3])
@example(b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")
def test_no_packet_breaks_the_server(packet: bytes) -> None:
    """A packet is a question that can be answered, or gets an error, or silence."""
    query = question(packet)
    if query is None:
        reply = malformed(packet)
        assert reply == b"" or (reply[:2] == packet[:2] and reply[3] & 0xF == dns.rcode.FORMERR)
    else:
        answer = local_answer(query, "default", NAMES)
        assert answer is None or wire(answer, query, is_datagram=True)


@given(st.binary(min_size=12, max_size=60))
def test_an_answer_is_never_answered(packet: bytes) -> None:
    """Two servers cannot be made to talk to each other."""
    packet = packet[:2] + bytes((packet[2] | 0x80,)) + packet[3:]
    assert question(packet) is None
    assert malformed(packet) == b""


def test_name_servers_are_read_as_libc_reads_them() -> None:
    """At most three; comments and other lines do not count."""
    lines = (
        "# nameserver 9.9.9.9",
        "nameserver",
        *(f"nameserver {a}" for a in ("1.1.1.1", "::1", "2.2.2.2", "3.3.3.3")),
    )
    assert name_servers("\n".join(lines)) == ("1.1.1.1", "::1", "2.2.2.2")
