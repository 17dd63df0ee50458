"""One change on its way to the fleet: who is affected, who has acknowledged, who refused."""

from __future__ import annotations

import msgspec

from byway.ads.catalogue import Proxy


class Nack(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal by a proxy's Envoy, with Envoy's own words."""

    proxy: Proxy
    type_url: str
    names: tuple[str, ...]
    reason: str


class RolloutResult(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has come when it was looked at."""

    n_affected: int
    n_acked: int
    n_connected: int
    seconds: float
    refusals: tuple[Nack, ...] = ()
    n_resources_sent: int = 0
