"""VirtualService → route rules."""

from __future__ import annotations

from byway.base.diagnostics import Derived, Diagnostic
from byway.kinds.istio.destination import Destination as WrittenDestination
from byway.kinds.istio.fault import HTTPFaultInjection
from byway.kinds.istio.virtual_service import Headers as WrittenHeaders
from byway.kinds.istio.virtual_service import HTTPMatchRequest, HTTPRoute, HTTPRouteDestination, VirtualService
from byway.kinds.resource import Resource
from byway.lowering.istio.retries import retries
from byway.lowering.istio.string_match import named_matches, string_match
from byway.model.host import full_host
from byway.model.labels import labels_of
from byway.model.route import (
    Destination,
    Fault,
    HeaderChange,
    Headers,
    RequestMatch,
    Rewrite,
    RouteRules,
    Rule,
    Split,
)

MESH_GATEWAY = "mesh"


def route_rules(resource: Resource) -> Derived[RouteRules | None]:
    """The rules of a VirtualService; None, with the reason, where it can never apply to any host."""
    spec = resource.spec
    assert isinstance(spec, VirtualService)
    namespace = resource.id.namespace
    if not spec.hosts:
        return Derived(None, (_missing_hosts(resource, spec),))
    rules = RouteRules(
        source=str(resource.id),
        hosts=tuple(full_host(host, namespace) for host in spec.hosts),
        gateways=gateway_names(spec.gateways, namespace) or (MESH_GATEWAY,),
        rules=tuple(_rule(route, namespace) for route in spec.http),
    )
    return Derived(rules)


def gateway_names(names: tuple[str, ...], namespace: str) -> tuple[str, ...]:
    """Gateways by full name; `mesh` stands for all sidecars."""
    return tuple(name if name == MESH_GATEWAY or "/" in name else f"{namespace}/{name}" for name in names)


def _missing_hosts(resource: Resource, spec: VirtualService) -> Diagnostic:
    meant = sorted({split.destination.host for route in spec.http for split in route.route if split.destination})
    hint = (
        f"add `hosts: [{meant[0]}]`, where its routes go"
        if len(meant) == 1
        else "add `hosts:` with the hosts it routes"
    )
    return Diagnostic(
        code="virtual-service-without-hosts",
        message="spec.hosts is missing, and no other VirtualService delegates to this one, so it would route nothing",
        position=resource.position("spec"),
        hint=hint,
        subject=str(resource.id),
    )


def _rule(route: HTTPRoute, namespace: str) -> Rule:
    rewrite = route.rewrite
    return Rule(
        name=route.name,
        matches=tuple(_match(match, namespace) for match in route.match),
        splits=_splits(route.route, namespace),
        rewrite=Rewrite(rewrite.uri, rewrite.authority) if rewrite else Rewrite(),
        timeout=route.timeout,
        retries=retries(route.retries),
        fault=_fault(route.fault),
        headers=_headers(route.headers),
    )


def _match(written: HTTPMatchRequest, namespace: str) -> RequestMatch:
    return RequestMatch(
        path=string_match(written.uri, ignore_case=written.ignore_uri_case),
        method=string_match(written.method),
        authority=string_match(written.authority),
        headers=(
            *named_matches(written.headers, is_header=True),
            *named_matches(written.without_headers, is_inverted=True, is_header=True),
        ),
        query_parameters=named_matches(written.query_params),
        source_labels=labels_of(written.source_labels),
        gateways=gateway_names(written.gateways, namespace),
        port=written.port,
    )


def _splits(written: tuple[HTTPRouteDestination, ...], namespace: str) -> tuple[Split, ...]:
    # One destination without a weight gets everything; among several, 0 means none (istio.io, HTTPRouteDestination).
    only = len(written) == 1
    return tuple(
        Split(_destination(split.destination, namespace), split.weight or (1 if only else 0), _headers(split.headers))
        for split in written
        if split.destination is not None
    )


def _destination(written: WrittenDestination, namespace: str) -> Destination:
    return Destination(full_host(written.host, namespace), written.subset, written.port.number if written.port else 0)


def _fault(written: HTTPFaultInjection | None) -> Fault:
    if written is None:
        return Fault()
    delay, abort = written.delay, written.abort
    return Fault(
        delay=delay.fixed_delay if delay else None,
        delay_percent=_percent(
            delay.percentage.value if delay and delay.percentage else None, delay.percent if delay else None
        ),
        abort_status=abort.http_status if abort else 0,
        abort_percent=_percent(abort.percentage.value if abort and abort.percentage else None, None),
    )


def _percent(percentage: float | None, old_percent: int | None) -> float:
    # Absent means always (istio.io: "If not specified, all requests are aborted / delayed").
    if percentage is not None:
        return percentage
    return float(old_percent) if old_percent else 100.0


def _headers(written: WrittenHeaders | None) -> Headers:
    if written is None:
        return Headers()
    changes = [
        HeaderChange(set=labels_of(side.set), add=labels_of(side.add), remove=tuple(side.remove))
        if side
        else HeaderChange()
        for side in (written.request, written.response)
    ]
    return Headers(*changes)
