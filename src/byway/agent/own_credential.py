"""The agent's own credential, kept across its restarts.

An agent that comes back while no control plane of its host answers goes on with it at another one. It is in the run
directory, for its user alone, and goes with that directory when the mesh is taken down. Workloads' keys are never kept.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from byway.agent.credentials import Credential
from byway.agent.layout import write_whole
from byway.base.errors import BywayError
from byway.base.json import decoded
from byway.identity.bundle import TrustBundle, trust_bundle, trusted_leaf
from byway.identity.certificate import certificates
from byway.identity.roles import agent_id, node_of
from byway.identity.spiffe import TrustDomain

_log = structlog.get_logger("byway.agent")


class _Kept(msgspec.Struct, frozen=True):
    key_pem: bytes
    chain_pem: bytes
    bundle_pem: bytes


def keep(path: Path, credential: Credential) -> None:
    """Writes it; where that fails, the agent goes on without."""
    kept = _Kept(credential.key_pem, credential.chain_pem, credential.bundle_pem)
    try:
        write_whole(path, msgspec.json.encode(kept))
    except OSError as error:
        _log.warning("the agent's certificate is not kept across restarts", file=str(path), reason=str(error))


def kept(path: Path, node: str, trust_domain: TrustDomain, pinned: TrustBundle, now: datetime) -> Credential | None:
    """What was kept, if it is still valid under the roots that are pinned, and this node's; else None."""
    try:
        found = decoded(path.read_bytes(), _Kept)
        bundle = trust_bundle(found.bundle_pem) & pinned
        facts = trusted_leaf(found.chain_pem, bundle, now)
        key = load_pem_private_key(found.key_pem, None)
        is_own = facts.identity == agent_id(trust_domain) and node_of(facts.dns_names) == node
        if not is_own or certificates(found.chain_pem)[0].public_key() != key.public_key():
            return None
    except (OSError, ValueError, TypeError, BywayError) as fault:
        if not isinstance(fault, FileNotFoundError):
            _log.info("the agent's kept certificate is of no use", reason=str(fault))
        return None
    return Credential(
        identity=facts.identity,
        key_pem=found.key_pem,
        chain_pem=found.chain_pem,
        bundle_pem=bundle.pem,
        facts=facts,
    )
