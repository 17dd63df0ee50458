"""Mesh-wide defaults."""

from __future__ import annotations

import enum

import msgspec

from byway.base.duration import Duration
from byway.model.names import DEFAULT_ROOT_NAMESPACE, DEFAULT_TRUST_DOMAIN
from byway.model.route import Retries

DEFAULT_RETRIES = Retries(
    attempts=2, conditions=("connect-failure", "refused-stream", "unavailable", "cancelled", "reset-before-request")
)
"""Istio's default: two more attempts where the request has surely not been processed."""


ISTIO_SAMPLING = 1.0
"""Istio's share of traced requests, in percent."""


class Discovery(enum.Enum):
    """When a sidecar is given a service that it may call."""

    LAZY = "lazy"  # when its application calls it
    EAGER = "eager"  # at its start, with all others


class MeshDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds where nothing more specific was said. `timeout` None: no limit. `sampling` in percent; 0: no tracing."""

    retries: Retries = DEFAULT_RETRIES
    timeout: Duration | None = None
    access_log: str = ""
    allows_unknown_destinations: bool = True
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    root_namespace: str = DEFAULT_ROOT_NAMESPACE
    is_tracing: bool = True
    sampling: float = 0.0
    connect_timeout: Duration = Duration(10_000_000_000)
    discovery: Discovery = Discovery.LAZY
