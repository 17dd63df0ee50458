"""DNS answers: mesh names from a table, everything else to be forwarded; pure functions from packet to packet.

A workload asks for `analytics-service`, and its resolver appends the search domains; a client that does not may ask
for any of `svc`, `svc.ns`, `svc.ns.svc` and the full name. Names under the mesh's own domain are never forwarded:
unknown ones are answered at once. A mesh name has an IPv4 address only; other types get an empty answer, so that
resolvers ask nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from byway.model.names import DOMAIN_SUFFIX

TTL_S: Final = 30
_NEGATIVE_TTL_S: Final = 5
_UDP_LIMIT_BYTES: Final = 512
_HEADER_BYTES: Final = 12
_SOA: Final = f"ns.{DOMAIN_SUFFIX}. hostmaster.{DOMAIN_SUFFIX}. 1 7200 1800 86400 {_NEGATIVE_TTL_S}"


def full_name(asked: str, namespace: str, names: Mapping[str, str]) -> str | None:
    """The mesh's full name that a workload of `namespace` means by `asked` (lower case, no final dot), or None."""
    spellings = [asked, f"{asked}.{DOMAIN_SUFFIX}", f"{asked}.svc.{DOMAIN_SUFFIX}"]
    if "." not in asked:
        spellings.append(f"{asked}.{namespace}.svc.{DOMAIN_SUFFIX}")
    return next((s for s in spellings if s in names), None)


def is_of_the_mesh(asked: str) -> bool:
    """Whether only the mesh could know the name."""
    return asked == DOMAIN_SUFFIX or asked.endswith(f".{DOMAIN_SUFFIX}")


def question(packet: bytes) -> dns.message.Message | None:
    """The query in `packet`: one question, class IN; None where the packet is anything else."""
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    is_query = not message.flags & dns.flags.QR and message.opcode() == dns.opcode.QUERY
    return message if is_query and len(message.question) == 1 else None


def local_answer(query: dns.message.Message, namespace: str, names: Mapping[str, str]) -> dns.message.Message | None:
    """The mesh's own answer, or None where the query is to be forwarded."""
    asked = query.question[0]
    text = asked.name.to_text(omit_final_dot=True).lower()
    if asked.rdclass != dns.rdataclass.IN:
        return refusal(query, dns.rcode.REFUSED)
    name = full_name(text, namespace, names)
    if name is None:
        return _negative(query, dns.rcode.NXDOMAIN) if is_of_the_mesh(text) else None
    if asked.rdtype not in (dns.rdatatype.A, dns.rdatatype.ANY):
        return _negative(query, dns.rcode.NOERROR)
    answer = _response(query)
    answer.answer.append(dns.rrset.from_text(asked.name, TTL_S, "IN", "A", names[name]))
    return answer


def refusal(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    """An answer that carries nothing but a code."""
    answer = _response(query)
    answer.set_rcode(code)
    return answer


def malformed(packet: bytes) -> bytes:
    """The answer to a packet that is no query; empty (stay silent) where not even its header can be answered."""
    if len(packet) < _HEADER_BYTES or packet[2] & 0x80:
        return b""
    return packet[:2] + bytes((0x80 | (packet[2] & 0x79), 0x80 | dns.rcode.FORMERR)) + bytes(8)


def wire(answer: dns.message.Message, query: dns.message.Message, *, is_datagram: bool) -> bytes:
    """The answer in bytes; cut off, and marked so, where a datagram may not be that long."""
    if not is_datagram:
        return answer.to_wire(max_size=65535)
    limit = max(_UDP_LIMIT_BYTES, query.payload if query.edns >= 0 else 0)
    try:
        return answer.to_wire(max_size=limit)
    except dns.exception.TooBig:
        cut = _response(query)
        cut.flags |= dns.flags.TC
        return cut.to_wire(max_size=limit)


def is_answer_to(packet: bytes, query: bytes) -> bool:
    """Whether a server's `packet` answers the `query` that was sent to it: id and question are the same."""
    try:
        return dns.message.from_wire(query).is_response(dns.message.from_wire(packet, ignore_trailing=True))
    except (dns.exception.DNSException, ValueError, IndexError):
        return False


def name_servers(resolv_conf: str) -> tuple[str, ...]:
    """The name servers of a resolver file, at most three as in libc."""
    lines = (line.split() for line in resolv_conf.splitlines())
    return tuple(words[1] for words in lines if len(words) >= 2 and words[0] == "nameserver")[:3]


def _response(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.AA
    return answer


def _negative(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    answer = refusal(query, code)
    zone = dns.name.from_text(DOMAIN_SUFFIX)
    answer.authority.append(dns.rrset.from_text(zone, _NEGATIVE_TTL_S, "IN", "SOA", _SOA))
    return answer
