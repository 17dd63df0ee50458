"""VirtualService: how requests to some hosts are matched, split, rewritten, retried and disturbed.

A VirtualService without hosts may be a delegate of another one, so it decodes; whether anything delegates to it is
judged where all are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec

from byway.kinds.header import MESH_HEADERS, authority_value, header_name, header_value
from byway.kinds.hosts import overlaps, route_host
from byway.kinds.istio.destination import Destination
from byway.kinds.istio.fault import HTTPFaultInjection
from byway.kinds.istio.http_retry import HTTPRetry
from byway.kinds.istio.selector import Labels
from byway.kinds.istio.string_match import StringMatch
from byway.kinds.labels import gateway_name
from byway.kinds.message import Check, Count, Message, Port, Problem, SpanOrOff
from byway.kinds.path import child, item

__all__ = [
    "HTTPFaultInjection", "HTTPMatchRequest", "HTTPRetry", "HTTPRewrite", "HTTPRoute", "HTTPRouteDestination",
    "HeaderOperations", "Headers", "VirtualService",
]  # fmt: skip

MESH = "mesh"
"""The reserved gateway name for all sidecars."""
HeaderMatches = Annotated[dict[str, StringMatch], Check(header_name, keys=True)]
HeaderValues = Annotated[dict[str, str], Check(header_value)]


class HeaderOperations(Message, frozen=True, kw_only=True):
    """Headers to overwrite, to append and to remove."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Headers.HeaderOperations"

    set: HeaderValues = msgspec.field(default_factory=dict)
    add: HeaderValues = msgspec.field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Headers(Message, frozen=True, kw_only=True):
    """What happens to the headers of the request and of the response."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Headers"

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None

    def problems(self) -> Iterator[Problem]:
        """Names are judged here: which ones may be touched depends on the direction and on the operation."""
        for direction, operations in (("request", self.request), ("response", self.response)):
            if operations is None:
                continue
            for operation, names in (("set", operations.set), ("add", operations.add), ("remove", operations.remove)):
                for index, name in enumerate(names):
                    problem = _name_problem(name, direction, operation)
                    if problem:
                        at = f"{direction}.{operation}"
                        at = item(at, index) if operation == "remove" else child(at, name)
                        yield Problem(message=problem.message, hint=problem.hint, at=at)


def _name_problem(name: str, direction: str, operation: str) -> Problem | None:
    """As in Istio, a request's authority may be written by either of its names; the mesh's own headers never."""
    lower = name.lower()
    is_written = direction == "request" and operation != "remove"
    if lower in (":authority", "host") and is_written:
        return None
    if lower == "host":
        return Problem(
            message="the host header can only be set, on requests", hint="use headers.request.set or rewrite.authority"
        )
    if lower in MESH_HEADERS and direction == "request":
        return Problem(message=f"{lower} is the mesh's own header, by which it tells who calls", hint="leave it out")
    return header_name(name)


class HTTPMatchRequest(Message, frozen=True, kw_only=True):
    """All conditions of one match must hold."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPMatchRequest"

    name: str = ""
    uri: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: HeaderMatches = msgspec.field(default_factory=dict)
    without_headers: HeaderMatches = msgspec.field(default_factory=dict)
    query_params: dict[str, StringMatch] = msgspec.field(default_factory=dict)
    source_labels: Labels = msgspec.field(default_factory=dict)
    gateways: Annotated[tuple[str, ...], Check(gateway_name)] = ()
    port: Port = 0
    ignore_uri_case: bool = False

    def problems(self) -> Iterator[Problem]:
        """A match that says nothing is a slip of the pen, except of headers and parameters (there, or not)."""
        for field, match in (("uri", self.uri), ("method", self.method), ("authority", self.authority)):
            if match is not None and match.is_presence:
                yield Problem(message=f"{field} has no exact, prefix or regex", hint="add one of them", at=field)
        if "" in self.query_params:
            yield Problem(
                message="a query parameter needs a name", hint="write the name before the colon", at="queryParams"
            )


class HTTPRouteDestination(Message, frozen=True, kw_only=True):
    """One of the destinations that share the requests by weight."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPRouteDestination"
    REQUIRED: ClassVar[tuple[str, ...]] = ("destination",)

    destination: Destination = Destination()
    weight: Count = 0
    headers: Headers | None = None


class HTTPRewrite(Message, frozen=True, kw_only=True):
    """What path (or matched prefix) and authority become before the request goes on."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPRewrite"

    uri: Annotated[str, Check(authority_value)] = ""
    authority: Annotated[str, Check(authority_value)] = ""

    def problems(self) -> Iterator[Problem]:
        """An empty rewrite does nothing."""
        if not self.uri and not self.authority:
            yield Problem(message="the rewrite changes nothing", hint="set uri, authority or both")


class HTTPRoute(Message, frozen=True, kw_only=True):
    """Any of the matches leads to the destinations; no match at all takes every request. A timeout of 0s switches it
    off.
    """

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPRoute"
    REQUIRED: ClassVar[tuple[str, ...]] = ("route",)

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    rewrite: HTTPRewrite | None = None
    timeout: SpanOrOff | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    headers: Headers | None = None

    def problems(self) -> Iterator[Problem]:
        """Of several destinations at least one must get requests, and Envoy adds their weights up in 32 bits."""
        total = sum(destination.weight for destination in self.route)
        if len(self.route) > 1 and total == 0:
            yield Problem(
                message="all weights are 0, so no destination gets a request",
                hint="give one of them a weight",
                at="route",
            )
        if total > 2**32 - 1:
            yield Problem(
                message="the weights add up to more than 4294967295", hint="write them as percent", at="route"
            )


class VirtualService(Message, frozen=True, kw_only=True):
    """The routes of `hosts`, seen by the sidecars (`mesh`, also when no gateway is named) or by the named gateways."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.VirtualService"
    REQUIRED: ClassVar[tuple[str, ...]] = ("http",)

    hosts: Annotated[tuple[str, ...], Check(route_host)] = ()
    gateways: Annotated[tuple[str, ...], Check(gateway_name)] = ()
    http: tuple[HTTPRoute, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Hosts must not overlap, and no VirtualService may take all hosts from every sidecar."""
        yield from overlaps(self.hosts, "hosts")
        if "*" in self.hosts and (not self.gateways or MESH in self.gateways):
            at = f"hosts[{self.hosts.index('*')}]"
            yield Problem(
                message='host "*" would take all traffic of the mesh',
                hint="name the hosts, or bind it to a gateway",
                at=at,
            )
