"""What a caller may have a certificate for: itself, or, for an agent, a workload that is registered on its node.

The mesh's own identities are never given by impersonation, whatever a policy says: the control plane signs its own
certificate in process, and an agent gets its own by attestation alone.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from byway.authority.attestation import Caller
from byway.base.errors import UsageError
from byway.identity.roles import agent_id, control_plane_id, is_reserved, node_dns_name
from byway.identity.spiffe import MalformedSpiffeId, SpiffeId, parse_spiffe_id


class NotEntitled(UsageError):
    """The caller is who it is, and may not have what it asks for."""


class ImpersonationPolicy(Protocol):
    """Whether a workload with identity `target` is registered on `node`, whose agent is `agent`."""

    def __call__(self, agent: SpiffeId, node: str, target: SpiffeId) -> bool:
        """The answer, at once and without waiting."""


class Subject(msgspec.Struct, frozen=True):
    """What a certificate will be made out to. `node` is set for agents only."""

    identity: SpiffeId
    node: str = ""

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The names that stand beside the identity."""
        return (node_dns_name(self.node),) if self.node else ()


def entitled_subject(caller: Caller, impersonated: str | None, may_impersonate: ImpersonationPolicy) -> Subject:
    """The subject that `caller` gets; `impersonated` is the wish in its metadata. Raises `NotEntitled`."""
    if impersonated is None:
        if caller.identity == control_plane_id(caller.identity.trust_domain):
            raise NotEntitled("the control plane signs its own certificate in process")
        return Subject(caller.identity, caller.node)
    if caller.identity != agent_id(caller.identity.trust_domain):
        raise NotEntitled(f"{caller.identity} is no agent and asks for another identity")
    target = _target(caller, impersonated)
    if not may_impersonate(caller.identity, caller.node, target):
        raise NotEntitled(f"no workload of {target} is registered on node {caller.node}")
    return Subject(target)


def _target(caller: Caller, impersonated: str) -> SpiffeId:
    try:
        target = parse_spiffe_id(impersonated)
    except MalformedSpiffeId as fault:
        raise NotEntitled(str(fault)) from fault
    if target.trust_domain != caller.identity.trust_domain:
        raise NotEntitled(f"{target} is not of trust domain {caller.identity.trust_domain}")
    if target.workload is None:
        raise NotEntitled(f"{target} names no namespace and service account")
    if is_reserved(target):
        raise NotEntitled(f"{target} is the mesh's own")
    return target
