"""The mesh's own identities: the control plane's and the agents', which no workload may hold.

An agent is `spiffe://<trust domain>/ns/istio-system/sa/byway-agent` on every host. *Which* host it runs on is a
second fact of its certificate: the DNS name `node.<name>.byway`, written there by the CA alone. A certificate keeps
exactly one URI name (the SPIFFE rule), no caller can claim a node that the CA did not attest, and the name can match
no server name that a client checks, because `.byway` is nobody's suffix but ours.
"""

from __future__ import annotations

import re
from typing import Final

from byway.base.errors import UsageError
from byway.identity.spiffe import SpiffeId, TrustDomain, shown, workload_id

SYSTEM_NAMESPACE: Final = "istio-system"
AGENT_ACCOUNT: Final = "byway-agent"
CONTROL_PLANE_ACCOUNT: Final = "byway"
CONTROL_PLANE_HOST: Final = "byway.istio-system.svc"
"""The DNS name in the control plane's serving certificate, which its clients check."""

_NODE_PREFIX: Final = "node."
_NODE_SUFFIX: Final = ".byway"
_NODE: Final = re.compile(r"(?=.{1,200}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class MalformedNodeName(UsageError):
    """A node name that no DNS name can carry."""


def agent_id(trust_domain: TrustDomain) -> SpiffeId:
    """The identity of every agent."""
    return workload_id(trust_domain, SYSTEM_NAMESPACE, AGENT_ACCOUNT)


def control_plane_id(trust_domain: TrustDomain) -> SpiffeId:
    """The identity of the control plane."""
    return workload_id(trust_domain, SYSTEM_NAMESPACE, CONTROL_PLANE_ACCOUNT)


def is_reserved(identity: SpiffeId) -> bool:
    """Whether `identity` is the mesh's own, so that no workload gets it whatever is registered."""
    return identity in (agent_id(identity.trust_domain), control_plane_id(identity.trust_domain))


def node_dns_name(node: str) -> str:
    """The DNS name that binds a certificate to `node`; raises `MalformedNodeName`."""
    if _NODE.fullmatch(node) is None:
        raise MalformedNodeName(f"node name {shown(node)} is not lower-case DNS labels of at most 200 characters")
    return f"{_NODE_PREFIX}{node}{_NODE_SUFFIX}"


def node_of(dns_names: tuple[str, ...]) -> str | None:
    """The node that these names of one certificate bind it to; None where they name none, or more than one."""
    nodes = [
        name.removeprefix(_NODE_PREFIX).removesuffix(_NODE_SUFFIX)
        for name in dns_names
        if name.startswith(_NODE_PREFIX) and name.endswith(_NODE_SUFFIX)
    ]
    return nodes[0] if len(nodes) == 1 and _NODE.fullmatch(nodes[0]) else None
