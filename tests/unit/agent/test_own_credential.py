"""A restarted agent goes on with its own certificate."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from byway.agent import own_credential
from byway.agent.credentials import Credential
from byway.identity.bundle import trusted_leaf
from byway.identity.roles import agent_id, node_dns_name
from tests.unit.agent.test_credentials import DAY_S, TD, WEB, Host


async def test_an_agent_that_comes_back_goes_on_with_its_kept_certificate_and_asks_the_ca_for_its_workloads_only(
    tmp_path: Path,
) -> None:
    """Another node's, an expired one, and one under a root that is not pinned are of no use."""
    host, path = Host(), tmp_path / "kept"
    key = ec.generate_private_key(ec.SECP256R1())
    issued = host.issuer.authority.issue(
        agent_id(TD), key.public_key(), dns_names=(node_dns_name("host-a"),), via="test"
    )
    bundle, now = host.issuer.bundle, host.time.now()
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    facts = trusted_leaf(issued, bundle, now)
    own = Credential(identity=agent_id(TD), key_pem=key_pem, chain_pem=issued, bundle_pem=bundle.pem, facts=facts)
    own_credential.keep(path, own)
    assert path.stat().st_mode & 0o077 == 0
    assert own_credential.kept(path, "host-b", TD, bundle, now) is None
    assert own_credential.kept(path, "host-a", TD, Host().issuer.bundle, now) is None
    assert own_credential.kept(path, "host-a", TD, bundle, now + timedelta(days=2)) is None
    kept = own_credential.kept(path, "host-a", TD, bundle, now)
    assert kept == own
    host.credentials.adopt(kept)
    async with host.running(WEB):
        assert [identity for _, identity in host.issuer.attempts] == [WEB]
        await host.time.turn(DAY_S)
        assert agent_id(TD) in [identity for _, identity in host.issuer.attempts]
