"""Mesh-wide defaults."""

from __future__ import annotations

import msgspec

from byway.base.duration import Duration
from byway.model.names import DEFAULT_ROOT_NAMESPACE, DEFAULT_TRUST_DOMAIN
from byway.model.route import Retries

DEFAULT_RETRIES = Retries(
    attempts=2, conditions=("connect-failure", "refused-stream", "unavailable", "cancelled", "reset-before-request")
)
"""Istio's default: two more attempts where the request has surely not been processed."""


class MeshDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds where nothing more specific was said. `timeout` None: no limit. `sampling` in percent.

    A hop of a traced request has one span, the caller's; with `traces_servers` it has the server's, too.
    """

    retries: Retries = DEFAULT_RETRIES
    timeout: Duration | None = None
    access_log: str = ""
    allows_unknown_destinations: bool = True
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    root_namespace: str = DEFAULT_ROOT_NAMESPACE
    is_tracing: bool = True
    sampling: float = 1.0
    traces_servers: bool = False
    connect_timeout: Duration = Duration(10_000_000_000)
