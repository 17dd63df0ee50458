"""What a VirtualService or a DestinationRule asks of callers that a gRPC client does not do: notes at the fields.

Told only where a gRPC client may call the host, and the host serves HTTP/2: a sidecar speaks HTTP/1.1 to any other, where no
gRPC call succeeds. So many workloads are asked and no more, so a change costs the same in any mesh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import Final

import msgspec

from byway.base.diagnostics import Diagnostic, Severity
from byway.derive.clusters import own_policies
from byway.derive.egress import may_call
from byway.derive.lowered import destination_policy_of, mesh_defaults, route_rules_of, workload_of
from byway.derive.routes import MESH, view
from byway.derive.services import service
from byway.engine import Database, query
from byway.kinds.istio import destination_rule as rule
from byway.kinds.istio.http_retry import HTTPRetry
from byway.kinds.istio.virtual_service import HTTPRoute, VirtualService
from byway.kinds.path import child, item
from byway.kinds.resource import Resource
from byway.model.grpc_client import MOST_ABSENT, MOST_RETRIES, RETRIED
from byway.model.labels import selects
from byway.model.listener import View
from byway.model.route import RouteRules, Rule
from byway.world.index import BRANCHES, INDEX

_MOST_ASKED: Final = 100
"""Workloads that are asked whether they may call a host; with more, only what these may call is told."""
_ROUND_ROBIN: Final = ("", "UNSPECIFIED", "ROUND_ROBIN")


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """A field that gRPC clients ignore: what they do not do (`message` follows "gRPC clients …"), and what to do."""

    field: str
    path: str
    message: str
    hint: str
    code: str = "ignored-by-grpc-clients"
    severity: Severity = Severity.INFO


class Caller(msgspec.Struct, frozen=True):
    """A workload that is a client of the gRPC library, as its instances see the mesh."""

    view: View
    workload: str


@query
def first_clients(db: Database, namespace: str) -> tuple[str, ...]:
    """Workloads that are gRPC clients, as `namespace/workload`, those of `namespace` first; of very many some."""
    own = f"{namespace}/"
    there = BRANCHES(db, ("grpc-client",))
    return tuple(nsmallest(_MOST_ASKED, there, key=lambda name: (not name.startswith(own), name)))


@query
def caller(db: Database, workload: str) -> Caller | None:
    """The first instance of a gRPC client `namespace/workload`, which stands for all."""
    client = next((workload_of(db, i) for i in INDEX(db, ("grpc-client", workload))), None)
    return Caller(view(db, client.namespace, client.labels), client.name) if client else None


def grpc_limits(db: Database, resource: Resource) -> Iterator[Diagnostic]:
    """A note for each kind of field that is ignored, at the first place in the resource."""
    found: dict[str, list[tuple[Caller, Ignored]]] = {}
    told = _of_routes if isinstance(resource.spec, VirtualService) else _of_destination
    for caller, ignored in told(db, resource):
        found.setdefault(ignored.field, []).append((caller, ignored))
    for several in found.values():
        caller, first = several[0]
        who = f"gRPC clients without a sidecar (such as {caller.workload} in namespace {caller.view.namespace})"
        more = f", here and in {len(several) - 1} more places" if len(several) > 1 else ""
        yield Diagnostic(
            severity=first.severity,
            code=first.code,
            message=f"{who} {first.message}{more}",
            position=resource.position(first.path),
            hint=first.hint,
            subject=str(resource.id),
        )


def _callers(db: Database, hosts: Sequence[str], namespace: str) -> list[Caller]:
    """Who may call any of `hosts`; those of `namespace` come first."""
    asked = (caller(db, name) for name in first_clients(db, namespace))
    known = [c for c in asked if c is not None]
    return [c for c in known if c.view.egress is None or any(may_call(db, c.view.egress, h) for h in hosts)]


def _is_http2(db: Database, host: str) -> bool:
    found = service(db, host)
    return found is not None and any(port.protocol.is_http2 for port in found.ports)


def _of_routes(db: Database, resource: Resource) -> Iterator[tuple[Caller, Ignored]]:
    spec, rules = resource.spec, route_rules_of(db, resource.id)
    if not isinstance(spec, VirtualService) or rules is None or MESH not in rules.gateways:
        return
    if not BRANCHES(db, ("grpc-client",)) or not any(_is_http2(db, host) for host in _led_to(rules)):
        return
    asked = _callers(db, rules.hosts, resource.id.namespace)
    for i, (written, lowered) in enumerate(zip(spec.http, rules.rules, strict=True)):
        caller = next((c for c in asked if _concerns(lowered, c)), None)
        if caller is not None:
            yield from ((caller, ignored) for ignored in _of_route(written, item("spec.http", i)))


def _led_to(rules: RouteRules) -> Iterator[str]:
    yield from rules.hosts
    yield from (split.destination.host for rule in rules.rules for split in rule.splits)


def _concerns(found: Rule, caller: Caller) -> bool:
    """Whether calls of this client may come to the rule."""
    return not found.matches or any(
        selects(match.source_labels, caller.view.labels)
        and (not match.gateways or MESH in match.gateways)
        and not match.query_parameters
        for match in found.matches
    )


def _of_route(route: HTTPRoute, path: str) -> Iterator[Ignored]:
    if route.rewrite is not None:
        yield Ignored(
            field="rewrite",
            path=child(path, "rewrite"),
            message="do not rewrite path or authority: calls go out as the program made them",
            hint="have the program call what is meant, or give it a sidecar",
        )
    changed = [path] if route.headers is not None else []
    changed += [item(child(path, "route"), j) for j, split in enumerate(route.route) if split.headers is not None]
    for where in changed:
        yield Ignored(
            field="headers",
            path=child(where, "headers"),
            message="do not change headers",
            hint="set them in the program, or give it a sidecar",
        )
    for k, match in enumerate(route.match):
        if sum(not value.is_presence for value in match.without_headers.values()) > MOST_ABSENT:
            yield Ignored(
                field="withoutHeaders",
                path=child(item(child(path, "match"), k), "withoutHeaders"),
                message="do not match this for calls that lack one of so many headers",
                hint=f"name at most {MOST_ABSENT} headers",
            )
    if route.retries is not None and route.retries.attempts:
        yield from _of_retries(route.retries, child(path, "retries"))


def _of_retries(retries: HTTPRetry, path: str) -> Iterator[Ignored]:
    words = [word.strip() for word in retries.retry_on.split(",") if word.strip()]
    unknown = [word for word in words if word not in RETRIED]
    if unknown:
        yield Ignored(
            field="retryOn",
            path=child(path, "retryOn"),
            message=f"do not retry on {', '.join(unknown)}",
            hint=f"for them, add words of {', '.join(RETRIED)}",
        )
    if retries.per_try_timeout is not None:
        yield Ignored(
            field="perTryTimeout",
            path=child(path, "perTryTimeout"),
            message="do not limit the time of a single attempt",
            hint="set timeout, which holds for all attempts of a call together",
        )
    if retries.attempts > MOST_RETRIES:
        yield Ignored(
            field="attempts",
            path=child(path, "attempts"),
            message=f"retry at most {MOST_RETRIES} times",
            hint=f"count on {MOST_RETRIES} there, or give the program a sidecar",
        )


def _of_destination(db: Database, resource: Resource) -> Iterator[tuple[Caller, Ignored]]:
    spec, policy = resource.spec, destination_policy_of(db, resource.id)
    if not isinstance(spec, rule.DestinationRule) or policy is None or not BRANCHES(db, ("grpc-client",)):
        return
    namespace, host = resource.id.namespace, policy.host
    if host.startswith("*"):
        if namespace != mesh_defaults(db).root_namespace:
            return
        asked, policies = (
            [c for name in first_clients(db, namespace)[:1] if (c := caller(db, name))],
            [("spec.trafficPolicy", spec.traffic_policy)],
        )
    else:
        found = _callers(db, (host,), namespace) if _is_http2(db, host) else []
        own = ((c, own_policies(db, c.view.namespace, host)) for c in found)
        asked = [c for c, policies in own if any(p.source == policy.source for p in policies)]
        policies = [("spec.trafficPolicy", spec.traffic_policy)]
        policies += [
            (f"{item('spec.subsets', i)}.trafficPolicy", subset.traffic_policy) for i, subset in enumerate(spec.subsets)
        ]
    for path, written in policies if asked else ():
        yield from ((asked[0], ignored) for ignored in _of_policy(written, path))


def _of_policy(policy: rule.TrafficPolicy | rule.PortTrafficPolicy | None, path: str) -> Iterator[Ignored]:
    if policy is None:
        return
    if policy.load_balancer is not None and policy.load_balancer.simple not in _ROUND_ROBIN:
        yield Ignored(
            field="loadBalancer",
            path=f"{path}.loadBalancer.simple",
            message="let instances take turns, whatever is written here",
            hint="write ROUND_ROBIN, which holds for all callers, or give the program a sidecar",
        )
    if policy.outlier_detection is not None:
        yield Ignored(
            field="outlierDetection",
            path=f"{path}.outlierDetection",
            message="leave out no instance that fails",
            hint="have them retry on unavailable, or give the program a sidecar",
        )
    if policy.connection_pool is not None:
        yield from _of_limits(policy.connection_pool, f"{path}.connectionPool")
    for i, port in enumerate(policy.port_level_settings if isinstance(policy, rule.TrafficPolicy) else ()):
        yield from _of_policy(port, f"{path}.portLevelSettings[{i}]")


def _of_limits(pool: rule.ConnectionPoolSettings, path: str) -> Iterator[Ignored]:
    if pool.tcp is not None and pool.tcp != rule.TCPSettings():
        first = f"{path}.tcp"
    elif pool.http is not None and pool.http != rule.HTTPSettings(http2_max_requests=pool.http.http2_max_requests):
        first = f"{path}.http"
    else:
        return
    yield Ignored(
        field="connectionPool",
        path=first,
        message="keep no limit but http2MaxRequests",
        hint="set http2MaxRequests, or give the program a sidecar",
    )
