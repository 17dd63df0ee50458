"""Virtual hosts → Envoy routes.

Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    HeaderMatcher,
    QueryParameterMatcher,
    RetryPolicy,
    RouteAction,
    RouteMatch,
)
from envoy.config.route.v3.route_components_pb2 import Route as RouteMessage
from envoy.config.route.v3.route_components_pb2 import VirtualHost as VirtualHostMessage
from envoy.config.route.v3.route_components_pb2 import WeightedCluster as WeightedClusterMessage
from envoy.config.route.v3.route_pb2 import RouteConfiguration, Vhds
from envoy.extensions.filters.common.fault.v3.fault_pb2 import FaultDelay
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from byway.base.duration import Duration
from byway.model.policy import Access
from byway.model.report import Peer
from byway.model.route import (
    Fault,
    HeaderChange,
    MatchKind,
    NamedMatch,
    RequestMatch,
    Retries,
    Route,
    StringMatch,
    VirtualHost,
)
from byway.xds.authorization import per_route
from byway.xds.clusters import ADS
from byway.xds.message import duration, packed
from byway.xds.telemetry import source_header

ON_DEMAND_ROUTES = "out"
FAULT_FILTER = "envoy.filters.http.fault"


def route_configuration(name: str, hosts: tuple[VirtualHost, ...], peer: Peer) -> RouteConfiguration:
    """All routes of a gateway's port at once."""
    return RouteConfiguration(
        name=name,
        virtual_hosts=[virtual_host(host) for host in hosts],
        request_headers_to_add=[source_header(peer)],
        ignore_port_in_host_matching=True,
        validate_clusters=BoolValue(value=False),
    )


def on_demand_configuration(peer: Peer) -> RouteConfiguration:
    """A route configuration whose virtual hosts are asked for when a request needs them."""
    return RouteConfiguration(
        name=ON_DEMAND_ROUTES,
        vhds=Vhds(config_source=ADS),
        request_headers_to_add=[source_header(peer)],
        validate_clusters=BoolValue(value=False),
    )


def packed_rules(access: Access, *, needs_mutual_tls: bool) -> dict[str, Any]:
    """What a route overrides the access filters with, by the filter's name."""
    return {name: packed(rules) for name, rules in per_route(access, needs_mutual_tls=needs_mutual_tls).items()}


def inbound_configuration(name: str, cluster: str, rules: Mapping[str, Any]) -> RouteConfiguration:
    """The one route to the application, with the access rules (`packed_rules`) that are judged before it."""
    # An application may close an idle connection just as a request is sent on it; nothing was processed, so once more.
    retry = RetryPolicy(retry_on="reset-before-request", num_retries=UInt32Value(value=1))
    route = RouteMessage(
        name="application",
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster=cluster, timeout=duration(Duration(0)), retry_policy=retry),
    )
    for filter_name, override in rules.items():
        route.typed_per_filter_config[filter_name].CopyFrom(override)
    return RouteConfiguration(
        name=name,
        virtual_hosts=[VirtualHostMessage(name="application", domains=["*"], routes=[route])],
        validate_clusters=BoolValue(value=False),
    )


def virtual_host(host: VirtualHost) -> VirtualHostMessage:
    """The routes of one authority, in the operator's order."""
    return VirtualHostMessage(
        name=host.name,
        domains=list(host.domains),
        routes=[_route(route) for route in host.routes],
        include_request_attempt_count=True,
    )


def required_clusters(*hosts: VirtualHost) -> tuple[str, ...]:
    """Every cluster that these routes lead to, sorted."""
    return tuple(sorted({split.cluster for host in hosts for route in host.routes for split in route.clusters}))


def string_matcher(match: StringMatch) -> StringMatcher:
    """The comparison of a whole string; a regular expression is RE2 and must match all of it."""
    if match.kind is MatchKind.REGEX:
        return StringMatcher(safe_regex=RegexMatcher(regex=match.value))
    if match.kind is MatchKind.PREFIX:
        return StringMatcher(prefix=match.value, ignore_case=match.ignore_case)
    return StringMatcher(exact=match.value, ignore_case=match.ignore_case)


def _route(route: Route) -> RouteMessage:
    rule = route.rule
    message = RouteMessage(
        name=rule.name or route.source,
        match=_match(route.match),
        route=_action(route),
        request_headers_to_add=_headers_to_add(rule.headers.request),
        request_headers_to_remove=list(rule.headers.request.remove),
        response_headers_to_add=_headers_to_add(rule.headers.response),
        response_headers_to_remove=list(rule.headers.response.remove),
    )
    if rule.fault != Fault():
        message.typed_per_filter_config[FAULT_FILTER].CopyFrom(packed(_fault(rule.fault)))
    return message


def _action(route: Route) -> RouteAction:
    action = RouteAction(timeout=duration(route.timeout or Duration(0)))
    splits = route.clusters
    if len(splits) == 1 and splits[0].headers == type(splits[0].headers)():
        action.cluster = splits[0].cluster
    else:
        action.weighted_clusters.CopyFrom(WeightedClusterMessage())
        for split in splits:
            share = WeightedClusterMessage.ClusterWeight(
                name=split.cluster,
                weight=UInt32Value(value=split.weight),
                request_headers_to_add=_headers_to_add(split.headers.request),
                request_headers_to_remove=list(split.headers.request.remove),
                response_headers_to_add=_headers_to_add(split.headers.response),
                response_headers_to_remove=list(split.headers.response.remove),
            )
            authority = _authority(split.headers.request)
            if authority:
                share.host_rewrite_literal = authority
            action.weighted_clusters.clusters.append(share)
    if route.retries is not None and route.retries.attempts > 0:
        action.retry_policy.CopyFrom(_retry_policy(route.retries))
    _rewrite(action, route)
    return action


def _rewrite(action: RouteAction, route: Route) -> None:
    authority = route.rule.rewrite.authority or _authority(route.rule.headers.request)
    if authority:
        action.host_rewrite_literal = authority
    path = route.rule.rewrite.path
    if not path:
        return
    matched = route.match.path
    if matched is not None and matched.kind is MatchKind.PREFIX:
        action.prefix_rewrite = path
    else:
        # Istio: without a prefix match the whole path is replaced; the query stays.
        action.regex_rewrite.CopyFrom(
            RegexMatchAndSubstitute(pattern=RegexMatcher(regex=r"^[^?]*"), substitution=path.replace("\\", "\\\\"))
        )


def _authority(change: HeaderChange) -> str:
    """What a change of headers makes of the authority; empty: nothing. As in Istio, to add it replaces it, too."""
    written = {name.lower(): value for name, value in (*change.add, *change.set)}
    return written.get(":authority", "") or written.get("host", "")


def _match(match: RequestMatch) -> RouteMatch:
    message = RouteMatch()
    path = match.path or StringMatch(MatchKind.PREFIX, "/")
    if path.kind is MatchKind.EXACT:
        message.path = path.value
    elif path.kind is MatchKind.REGEX:
        message.safe_regex.CopyFrom(RegexMatcher(regex=path.value))
    else:
        message.prefix = path.value
    if path.ignore_case:
        message.case_sensitive.CopyFrom(BoolValue(value=False))
    if match.method:
        message.headers.append(HeaderMatcher(name=":method", string_match=string_matcher(match.method)))
    if match.authority:
        message.headers.append(HeaderMatcher(name=":authority", string_match=string_matcher(match.authority)))
    message.headers.extend(_header(header) for header in match.headers)
    message.query_parameters.extend(_query_parameter(parameter) for parameter in match.query_parameters)
    return message


def _header(header: NamedMatch) -> HeaderMatcher:
    if header.match.kind is MatchKind.PRESENT:
        return HeaderMatcher(name=header.name, present_match=True, invert_match=header.is_inverted)
    return HeaderMatcher(
        name=header.name,
        string_match=string_matcher(header.match),
        invert_match=header.is_inverted,
        # "Must not be x" holds for a request without the header as well; Envoy alone would not match it.
        treat_missing_header_as_empty=header.is_inverted,
    )


def _query_parameter(parameter: NamedMatch) -> QueryParameterMatcher:
    if parameter.match.kind is MatchKind.PRESENT:
        return QueryParameterMatcher(name=parameter.name, present_match=True)
    return QueryParameterMatcher(name=parameter.name, string_match=string_matcher(parameter.match))


def _headers_to_add(change: HeaderChange) -> list[HeaderValueOption]:
    actions = HeaderValueOption.HeaderAppendAction
    options = []
    for pairs, action in (
        (change.set, actions.OVERWRITE_IF_EXISTS_OR_ADD),
        (change.add, actions.APPEND_IF_EXISTS_OR_ADD),
    ):
        for name, value in pairs:
            if name.lower() not in (":authority", "host"):  # rewritten, see `_authority`
                header = HeaderValue(key=name, value=value)  # a format, whose operators the kind has checked
                options.append(HeaderValueOption(header=header, append_action=action, keep_empty_value=True))
    return options


def _retry_policy(retries: Retries) -> RetryPolicy:
    policy = RetryPolicy(
        retry_on=",".join(retries.conditions),
        num_retries=UInt32Value(value=retries.attempts),
        retriable_status_codes=list(retries.status_codes),
        host_selection_retry_max_attempts=5,
        retry_host_predicate=[
            RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
            )
        ],
    )
    if retries.per_try_timeout:
        policy.per_try_timeout.CopyFrom(duration(retries.per_try_timeout))
    if retries.backoff:
        policy.retry_back_off.CopyFrom(RetryPolicy.RetryBackOff(base_interval=duration(retries.backoff)))
    return policy


def _fault(fault: Fault) -> HTTPFault:
    message = HTTPFault()
    if fault.delay is not None:
        message.delay.CopyFrom(FaultDelay(fixed_delay=duration(fault.delay), percentage=_fraction(fault.delay_percent)))
    if fault.abort_status:
        message.abort.CopyFrom(FaultAbort(http_status=fault.abort_status, percentage=_fraction(fault.abort_percent)))
    return message


def _fraction(percent: float) -> FractionalPercent:
    return FractionalPercent(numerator=round(percent * 10_000), denominator=FractionalPercent.DenominatorType.MILLION)
