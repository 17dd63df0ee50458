"""Who calls whom in the demo's fleet, as data: the documented truth that the mesh's own service graph is compared with.

A `Call` says: to answer `request`, `caller` asks `callee`. The services cannot leave this graph: their client refuses a
callee that is not in it, and a test sends every kind of request through the whole fleet and compares.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PORT: Final = 8080
"""The port that every service of the fleet has in the mesh."""

ENTRY: Final = "web"
"""The service behind the ingress gateway."""

SERVICES: Final = (
    "web",
    "link-service",
    "link-store",
    "code-service",
    "redirect-service",
    "analytics-service",
    "click-counter",
    "user-service",
    "session-service",
    "auth-service",
    "quota-service",
    "spam-check",
    "url-validator",
    "preview-service",
    "badge-service",
    "geo-service",
    "notification-service",
    "audit-service",
    "search-service",
    "report-service",
)


class Call(NamedTuple):
    """To answer `request`, `caller` asks `callee`."""

    caller: str
    request: str
    callee: str


CALLS: Final = (
    Call("web", "POST /api/sessions", "auth-service"),
    Call("web", "POST /api/links", "auth-service"),
    Call("web", "POST /api/links", "link-service"),
    Call("web", "GET /{code}", "redirect-service"),
    Call("web", "GET /api/stats/{code}", "analytics-service"),
    Call("web", "GET /api/search", "search-service"),
    Call("web", "GET /api/report", "report-service"),
    Call("web", "GET /badge/{code}", "badge-service"),
    Call("auth-service", "POST /sign-ins", "user-service"),
    Call("auth-service", "POST /sign-ins", "session-service"),
    Call("auth-service", "POST /checks", "session-service"),
    Call("link-service", "POST /links", "url-validator"),
    Call("link-service", "POST /links", "quota-service"),
    Call("link-service", "POST /links", "code-service"),
    Call("link-service", "POST /links", "link-store"),
    Call("link-service", "POST /links", "audit-service"),
    Call("link-service", "POST /links", "search-service"),
    Call("link-service", "GET /links/{code}", "link-store"),
    Call("url-validator", "POST /validations", "spam-check"),
    Call("search-service", "POST /documents", "preview-service"),
    Call("redirect-service", "POST /visits", "link-service"),
    Call("redirect-service", "POST /visits", "analytics-service"),
    Call("analytics-service", "POST /clicks", "geo-service"),
    Call("analytics-service", "POST /clicks", "click-counter"),
    Call("analytics-service", "POST /clicks", "notification-service"),
    Call("analytics-service", "GET /stats/{code}", "click-counter"),
    Call("analytics-service", "GET /top", "click-counter"),
    Call("notification-service", "POST /milestones", "user-service"),
    Call("badge-service", "GET /badges/{code}", "analytics-service"),
    Call("report-service", "GET /report", "analytics-service"),
    Call("report-service", "GET /report", "link-service"),
)

EDGES: Final = frozenset((call.caller, call.callee) for call in CALLS)
"""The calls between services as pairs (caller, callee); the ingress gateway's call of `ENTRY` is not among them."""

_TIMEOUTS_S: Final = {
    "web": 25.0,
    "link-service": 15.0,
    "redirect-service": 15.0,
    "badge-service": 15.0,
    "report-service": 15.0,
}
_LEAST_TIMEOUT_S: Final = 10.0


def callees(service: str) -> frozenset[str]:
    """The services that `service` may call."""
    return frozenset(callee for caller, callee in EDGES if caller == service)


def timeout_s(service: str) -> float:
    """How long `service` waits for one answer: longer than a delay of 5 s, and longer the nearer to the entry."""
    return _TIMEOUTS_S.get(service, _LEAST_TIMEOUT_S)
