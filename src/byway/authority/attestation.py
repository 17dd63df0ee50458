"""Who is calling, from evidence that the caller cannot make up.

Two kinds of evidence exist. Over TCP it is the client certificate that the TLS handshake verified against the mesh's
roots. On the control socket it is the kernel: only the owner of the state directory can open a 0600 socket inside a
0700 directory, so whoever does is taken for the agent of this host, and for nothing else. What a request says about
its sender counts in one place only: on the control socket it names the node, whose name the CA then writes into the
agent's certificate (see `byway.identity.roles`). From there on the node, too, is read from a verified certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from byway.base.errors import UsageError
from byway.identity.certificate import CertificateFacts, MalformedCertificate, chain_facts
from byway.identity.roles import MalformedNodeName, agent_id, node_dns_name, node_of
from byway.identity.spiffe import SpiffeId, TrustDomain

MUTUAL_TLS = "mtls"
CONTROL_SOCKET = "control-socket"


class Unattested(UsageError):
    """The evidence is missing, malformed, expired or of another trust domain."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An attested caller. `node` is set for agents, and for nobody else; `certificate` is what it presented."""

    identity: SpiffeId
    node: str = ""
    via: str
    certificate: CertificateFacts | None = None


def mutual_tls_caller(auth_context: Mapping[str, Iterable[bytes]], trust_domain: TrustDomain, now: datetime) -> Caller:
    """The holder of the connection's verified client certificate; raises `Unattested`."""
    if list(auth_context.get("transport_security_type", ())) != [b"ssl"]:
        raise Unattested("connection is not TLS")
    certificates = list(auth_context.get("x509_pem_cert", ()))
    if len(certificates) != 1:
        raise Unattested("connection has no client certificate")
    try:
        facts = chain_facts(certificates[0])
    except MalformedCertificate as fault:
        raise Unattested(f"client certificate: {fault}") from fault
    # A connection may outlive the certificate it was opened with.
    if not facts.not_before <= now <= facts.not_after:
        raise Unattested(f"certificate of {facts.identity} was valid from {facts.not_before} to {facts.not_after}")
    if facts.identity.trust_domain != trust_domain:
        raise Unattested(f"{facts.identity} is not of trust domain {trust_domain}")
    return Caller(identity=facts.identity, node=_node(facts, trust_domain), via=MUTUAL_TLS, certificate=facts)


def control_socket_caller(peer: str, node: str, trust_domain: TrustDomain) -> Caller:
    """The agent of this host, on the control socket; raises `Unattested`."""
    if not peer.startswith("unix:"):
        raise Unattested(f"{peer} did not come through the control socket")
    try:
        node_dns_name(node)
    except MalformedNodeName as fault:
        raise Unattested(str(fault)) from fault
    return Caller(identity=agent_id(trust_domain), node=node, via=CONTROL_SOCKET)


def _node(facts: CertificateFacts, trust_domain: TrustDomain) -> str:
    if facts.identity != agent_id(trust_domain):
        return ""
    node = node_of(facts.dns_names)
    if node is None:
        raise Unattested("agent's certificate does not name exactly one node")
    return node
