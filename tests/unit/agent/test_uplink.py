"""The way to the control plane follows the certificate and disturbs no call that is under way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from byway.agent.credentials import Credential
from byway.agent.uplink import NoCredentialYet, Uplink
from byway.identity.certificate import CertificateFacts
from byway.identity.spiffe import workload_id


class Channel:
    """A channel that only remembers whether it was closed."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.n_closed = 0

    async def close(self, grace: float | None) -> None:
        self.n_closed += 1


def opened(address: str, credential: Credential) -> Any:
    return Channel(credential.facts.serial)


def credential(serial: str) -> Credential:
    identity = workload_id("cluster.local", "default", "web")
    day = datetime(2026, 1, 1, tzinfo=UTC)
    facts = CertificateFacts(identity=identity, not_before=day, not_after=day, serial=serial, issuer="")
    return Credential(identity=identity, key_pem=b"", chain_pem=b"", bundle_pem=b"", facts=facts)


async def test_calls_share_a_channel_until_the_certificate_changes() -> None:
    """A rotation means a new channel for the next call; the old one is not closed under the calls that run on it."""
    held = [credential("1")]
    uplink = Uplink("here:1", lambda: held[-1], opened)
    channels: list[Any] = [uplink.channel(), uplink.channel()]
    assert channels[0] is channels[1]
    held.append(credential("2"))
    channels.append(uplink.channel())
    assert [c.serial for c in channels] == ["1", "1", "2"]
    await uplink.close()
    assert [c.n_closed for c in channels] == [0, 0, 1]


async def test_without_a_certificate_nothing_is_asked() -> None:
    """The error says what is missing; the wait for the first one ends when it comes."""
    uplink = Uplink("here:1", lambda: None, opened)
    with pytest.raises(NoCredentialYet, match="certificate authority"):
        uplink.channel()
    uplink.credential_arrived()
    await uplink.issued()
