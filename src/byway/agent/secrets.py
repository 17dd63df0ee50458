"""SDS: the workload's certificate and trust bundle for its Envoy, over the workload's own socket; pushed at every
rotation.

The sessions are pure: a request or a rotation in, responses out. A version is the digest of the bytes, so that a
reconnecting Envoy that holds what is current is sent nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from byway.base.digest import digest
from byway.model.names import SDS_BUNDLE, SDS_IDENTITY, TYPE_SECRET

_NAME_LIMIT: Final = 16


class SecretBytes(msgspec.Struct, frozen=True):
    """A secret as it is sent."""

    version: str
    any_bytes: bytes


Secrets = Mapping[str, SecretBytes]


def secrets(*, chain_pem: bytes, key_pem: bytes, bundle_pem: bytes) -> Secrets:
    """The two secrets of a workload by their names."""
    identity = secret_pb2.Secret(name=SDS_IDENTITY)
    identity.tls_certificate.certificate_chain.inline_bytes = chain_pem
    identity.tls_certificate.private_key.inline_bytes = key_pem
    bundle = secret_pb2.Secret(name=SDS_BUNDLE)
    bundle.validation_context.trusted_ca.inline_bytes = bundle_pem
    return {secret.name: _packed(secret) for secret in (identity, bundle)}


def _packed(secret: secret_pb2.Secret) -> SecretBytes:
    value = secret.SerializeToString(deterministic=True)
    return SecretBytes(digest(value), any_pb2.Any(type_url=TYPE_SECRET, value=value).SerializeToString())


class Refused(msgspec.Struct, frozen=True):
    """Envoy's complaint about a secret."""

    names: tuple[str, ...]
    message: str


class StateOfTheWorldSession:
    """One `StreamSecrets` stream."""

    def __init__(self) -> None:
        self.refusal: Refused | None = None
        self._names: tuple[str, ...] = ()
        self._sent = ""
        self._nonce = 0

    def requested(self, packet: bytes, held: Secrets) -> bytes | None:
        """The answer to a request; None for an acknowledgement that changes nothing, and for a stale one."""
        request = discovery_pb2.DiscoveryRequest.FromString(packet)
        if request.response_nonce and request.response_nonce != str(self._nonce):
            return None
        names = tuple(request.resource_names)[:_NAME_LIMIT]
        if request.HasField("error_detail"):
            self.refusal = Refused(names, request.error_detail.message)
        elif request.response_nonce:
            self.refusal = None
        is_new = names != self._names
        self._names = names
        return self.changed(held) if is_new or not request.response_nonce else None

    def changed(self, held: Secrets) -> bytes | None:
        """The push due when `held` is what the workload has now."""
        wanted = {name: held[name] for name in self._names if name in held}
        version = digest("".join(f"{n}={s.version};" for n, s in sorted(wanted.items())).encode())
        if not wanted or version == self._sent:
            return None
        self._sent = version
        self._nonce += 1
        response = discovery_pb2.DiscoveryResponse(type_url=TYPE_SECRET, version_info=version, nonce=str(self._nonce))
        response.resources.extend(any_pb2.Any.FromString(s.any_bytes) for s in wanted.values())
        return bytes(response.SerializeToString())


class DeltaSession:
    """One `DeltaSecrets` stream."""

    def __init__(self) -> None:
        self.refusal: Refused | None = None
        self._versions: dict[str, str] = {}  # by subscribed name: what Envoy was sent last, empty for nothing
        self._pending: dict[str, tuple[str, ...]] = {}
        self._nonce = 0

    def requested(self, packet: bytes, held: Secrets) -> bytes | None:
        """The answer to a request, None where none is due."""
        request = discovery_pb2.DeltaDiscoveryRequest.FromString(packet)
        sent = self._pending.pop(request.response_nonce, ())
        if request.HasField("error_detail"):
            self.refusal = Refused(sent, request.error_detail.message)
        elif sent:
            self.refusal = None
        for name in request.resource_names_unsubscribe:
            self._versions.pop(name, None)
        for name in request.resource_names_subscribe:
            if len(self._versions) < _NAME_LIMIT:
                self._versions[name] = request.initial_resource_versions.get(name, "")
        return self.changed(held)

    def changed(self, held: Secrets) -> bytes | None:
        """The push due when `held` is what the workload has now."""
        due = {n: held[n] for n, v in self._versions.items() if n in held and held[n].version != v}
        if not due:
            return None
        self._nonce += 1
        nonce = str(self._nonce)
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=TYPE_SECRET, nonce=nonce)
        for name, secret in due.items():
            resource = response.resources.add(name=name, version=secret.version)
            resource.resource.MergeFromString(secret.any_bytes)
            self._versions[name] = secret.version
        self._pending = {nonce: tuple(due)}
        return bytes(response.SerializeToString())


def fetched(packet: bytes, held: Secrets) -> bytes:
    """The answer to `FetchSecrets`."""
    names = discovery_pb2.DiscoveryRequest.FromString(packet).resource_names
    response = discovery_pb2.DiscoveryResponse(type_url=TYPE_SECRET)
    response.resources.extend(any_pb2.Any.FromString(held[n].any_bytes) for n in names if n in held)
    return bytes(response.SerializeToString())
