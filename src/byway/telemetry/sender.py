"""Who reports: the proxy behind a stream, as its certificate proves it.

What a proxy says of itself (node id, metadata) only selects among the workloads of its own identity; the composition
root decides by `Admission`, exactly as it does for configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from byway.base.errors import UsageError
from byway.model.report import Peer


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """An admitted proxy; `epoch` is new at each start of its Envoy, `peer` its own side of all that it reports."""

    instance: str
    epoch: str
    peer: Peer


class SenderRefusedError(UsageError):
    """The peer may not report under the name that it gives."""


Admission = Callable[[str, str, Mapping[str, str]], Sender]
"""(SPIFFE id of the certificate, node id, node metadata) → the sender, or `SenderRefusedError` raised."""

PeerIdentity = Callable[[Any], str]
"""A gRPC servicer context → the SPIFFE id of its verified client certificate, or `SenderRefusedError` raised."""


def spiffe_peer(context: Any) -> str:
    """The one SPIFFE id of the verified client certificate, as gRPC's own check of the certificate has it."""
    properties = context.auth_context()
    ids = properties.get("peer_spiffe_id", ())
    if len(ids) != 1:
        raise SenderRefusedError("the client shows no certificate with one SPIFFE id")
    identity: str = ids[0].decode("utf-8", "replace")
    return identity
