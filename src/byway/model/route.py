"""How requests are routed: what an operator asked for (rules), and what a proxy gets (a virtual host of routes)."""

from __future__ import annotations

import enum

import msgspec

from byway.base.duration import Duration
from byway.model.labels import Labels


class MatchKind(enum.Enum):
    """How a string is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"
    PRESENT = "present"


class StringMatch(msgspec.Struct, frozen=True):
    """A comparison of one string; `PRESENT` ignores the value."""

    kind: MatchKind
    value: str = ""
    ignore_case: bool = False


class NamedMatch(msgspec.Struct, frozen=True):
    """A comparison of a header or a query parameter by name."""

    name: str
    match: StringMatch
    is_inverted: bool = False


class RequestMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions that must all hold; an empty one matches every request."""

    path: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[NamedMatch, ...] = ()
    query_parameters: tuple[NamedMatch, ...] = ()
    source_labels: Labels = ()
    gateways: tuple[str, ...] = ()
    port: int = 0


class HeaderChange(msgspec.Struct, frozen=True, kw_only=True):
    """Headers to set (overwrite), to add (append) and to remove."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class Headers(msgspec.Struct, frozen=True):
    """Header changes on the way there and on the way back."""

    request: HeaderChange = HeaderChange()
    response: HeaderChange = HeaderChange()


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again. `conditions` are Envoy's `retry_on` words, `status_codes` the numbers among them."""

    attempts: int
    conditions: tuple[str, ...]
    status_codes: tuple[int, ...] = ()
    per_try_timeout: Duration | None = None
    backoff: Duration | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Injected faults; percentages from 0 to 100."""

    delay: Duration | None = None
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0


class Rewrite(msgspec.Struct, frozen=True):
    """What the path and the authority become; empty means unchanged."""

    path: str = ""
    authority: str = ""


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that sends the client elsewhere."""

    path: str = ""
    authority: str = ""
    status: int = 301


class DirectResponse(msgspec.Struct, frozen=True):
    """An answer that the proxy gives by itself."""

    status: int
    body: str = ""


class Destination(msgspec.Struct, frozen=True):
    """Where to: a service's full name, a subset (may be empty), a port (0: the one that was called)."""

    host: str
    subset: str = ""
    port: int = 0


class Split(msgspec.Struct, frozen=True):
    """A share of the requests."""

    destination: Destination
    weight: int
    headers: Headers = Headers()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of an operator: any of `matches` (none: always), then an action."""

    name: str = ""
    matches: tuple[RequestMatch, ...] = ()
    splits: tuple[Split, ...] = ()
    rewrite: Rewrite = Rewrite()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    timeout: Duration | None = None
    retries: Retries | None = None
    fault: Fault = Fault()
    headers: Headers = Headers()


class RouteRules(msgspec.Struct, frozen=True, kw_only=True):
    """What one object says about hosts: `gateways` holds `mesh` and full names `namespace/name`."""

    source: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    rules: tuple[Rule, ...]


class WeightedCluster(msgspec.Struct, frozen=True):
    """A share of the requests, resolved to a cluster."""

    cluster: str
    weight: int
    headers: Headers = Headers()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A rule resolved for one view: a single match, clusters by name, and `source`, the object that asked for it."""

    match: RequestMatch
    clusters: tuple[WeightedCluster, ...]
    rule: Rule
    timeout: Duration | None
    retries: Retries | None
    source: str


class VirtualHost(msgspec.Struct, frozen=True):
    """The routes of one authority, under all its spellings."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
