"""SDS sessions: what Envoy asks is answered once, what rotates is pushed, what is current is not sent again."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from byway.agent.secrets import DeltaSession, Secrets, StateOfTheWorldSession, fetched, secrets


def held(n: int) -> Secrets:
    """The secrets after `n` rotations."""
    return secrets(chain_pem=b"chain%d" % n, key_pem=b"key%d" % n, bundle_pem=b"bundle")


def ask(*names: str, nonce: str = "", error: str = "", known: dict[str, str] | None = None) -> bytes:
    """A delta request."""
    request = discovery_pb2.DeltaDiscoveryRequest(response_nonce=nonce, resource_names_subscribe=names)
    request.initial_resource_versions.update(known or {})
    if error:
        request.error_detail.message = error
    return bytes(request.SerializeToString())


def ask_whole(*names: str, nonce: str = "", error: str = "") -> bytes:
    """A state-of-the-world request."""
    request = discovery_pb2.DiscoveryRequest(resource_names=names, response_nonce=nonce)
    if error:
        request.error_detail.message = error
    return bytes(request.SerializeToString())


def told(packet: bytes | None) -> Any:
    assert packet is not None
    return discovery_pb2.DeltaDiscoveryResponse.FromString(packet)


def test_a_secret_is_answered_with_its_bytes() -> None:
    """Chain and key for `default`, the bundle for `ROOTCA`."""
    response = told(DeltaSession().requested(ask("default"), held(1)))
    secret = secret_pb2.Secret()
    assert response.resources[0].resource.Unpack(secret)
    assert (secret.name, secret.tls_certificate.private_key.inline_bytes) == ("default", b"key1")
    bundle = secret_pb2.Secret()
    assert told(DeltaSession().requested(ask("ROOTCA"), held(1))).resources[0].resource.Unpack(bundle)
    assert bundle.validation_context.trusted_ca.inline_bytes == b"bundle"


def test_a_rotation_pushes_only_what_changed() -> None:
    """The bundle stays as it was."""
    session = DeltaSession()
    first = told(session.requested(ask("default", "ROOTCA"), held(1)))
    assert len(first.resources) == 2
    assert session.requested(ask(nonce=first.nonce), held(1)) is None
    assert [r.name for r in told(session.changed(held(2))).resources] == ["default"]
    assert session.changed(held(2)) is None


def test_a_reconnecting_envoy_is_sent_nothing_that_it_has() -> None:
    """Versions are digests of the bytes, the same for every process of the agent."""
    versions = {name: secret.version for name, secret in held(1).items()}
    session = DeltaSession()
    assert session.requested(ask("default", "ROOTCA", known=versions), held(1)) is None
    assert session.changed(held(2)) is not None


def test_a_request_before_the_first_certificate_is_answered_when_it_comes() -> None:
    """Envoy waits, the agent does not forget."""
    session = DeltaSession()
    assert session.requested(ask("default"), {}) is None
    assert told(session.changed(held(1))).resources[0].name == "default"


def test_a_refusal_is_noted_and_not_answered_by_the_same_bytes() -> None:
    """No resend loop; the next good secret clears it."""
    session = DeltaSession()
    first = told(session.requested(ask("default"), held(1)))
    assert session.requested(ask(nonce=first.nonce, error="bad key"), held(1)) is None
    assert session.refusal is not None
    assert (session.refusal.names, session.refusal.message) == (("default",), "bad key")
    second = told(session.changed(held(2)))
    session.requested(ask(nonce=second.nonce), held(2))
    assert session.refusal is None


def test_subscriptions_are_bounded() -> None:
    """A stream that asks for a million names holds sixteen."""
    session = DeltaSession()
    session.requested(ask(*(f"n{n}" for n in range(1000))), {})
    assert session.changed(dict.fromkeys((f"n{n}" for n in range(1000)), held(1)["default"])) is not None
    assert len(session._versions) == 16


def test_the_whole_state_variant_answers_acknowledges_and_pushes() -> None:
    """An ACK is not answered; a rotation is pushed; a stale nonce is ignored."""
    session = StateOfTheWorldSession()
    packet = session.requested(ask_whole("default"), held(1))
    assert packet is not None
    first = discovery_pb2.DiscoveryResponse.FromString(packet)
    assert len(first.resources) == 1
    assert session.requested(ask_whole("default", nonce=first.nonce), held(1)) is None
    assert session.changed(held(2)) is not None
    assert session.requested(ask_whole("default", nonce=first.nonce, error="late"), held(2)) is None
    assert session.refusal is None
    session.requested(ask_whole("default", nonce="2", error="bad"), held(2))
    assert session.refusal is not None


@pytest.mark.parametrize("names", [("default",), ("default", "ROOTCA"), ("nothing",)])
def test_a_fetch_is_answered_with_what_is_there(names: tuple[str, ...]) -> None:
    """Unknown names are left out."""
    response = discovery_pb2.DiscoveryResponse.FromString(fetched(ask_whole(*names), held(1)))
    assert len(response.resources) == sum(n != "nothing" for n in names)
