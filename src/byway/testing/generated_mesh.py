"""A mesh of any size as resources: what `population` says, with the services, instances and policies that such meshes have.

    mesh = GeneratedMesh(Size(n_services=1_000, n_endpoints=10_000))
    world.apply(Change(mesh.resources()))

Made from typed specs, so that a mesh of 10,000 services takes seconds. `yaml_of` writes it down.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Final

from byway.base.duration import Duration
from byway.kinds.byway.mesh_config import MeshConfig
from byway.kinds.istio.authorization_policy import AuthorizationPolicy, From, Operation, Rule, Source, To
from byway.kinds.istio.destination import Destination
from byway.kinds.istio.destination_rule import (
    ConnectionPoolSettings,
    DestinationRule,
    HTTPSettings,
    OutlierDetection,
    Subset,
    TrafficPolicy,
)
from byway.kinds.istio.http_retry import HTTPRetry
from byway.kinds.istio.peer_authentication import MutualTLS, PeerAuthentication
from byway.kinds.istio.selector import WorkloadSelector
from byway.kinds.istio.string_match import StringMatch
from byway.kinds.istio.virtual_service import HTTPMatchRequest, HTTPRoute, HTTPRouteDestination, VirtualService
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.kubernetes.namespace import Namespace
from byway.kinds.kubernetes.service import Service, ServicePort
from byway.kinds.resource import Resource
from byway.model.names import (
    DEFAULT_ROOT_NAMESPACE,
    DEFAULT_TRUST_DOMAIN,
    LABEL_APP,
    LABEL_TLS_MODE,
    LABEL_VERSION,
    LABEL_WORKLOAD,
)
from byway.testing.population import Inhabitant, Instance, Population, Size, instances_of, team_name
from byway.testing.written import written

ROOT: Final = DEFAULT_ROOT_NAMESPACE
_PORT_NAMES: Final = {True: "tcp", False: "http"}


class GeneratedMesh:
    """A population in resources; the single ones are made anew each time they are asked for, with what is to be changed."""

    def __init__(self, size: Size) -> None:
        self.population = Population(size)
        self._callers: dict[int, list[Inhabitant]] = {}
        for caller in self.population.services:
            for number in caller.calls:
                self._callers.setdefault(number, []).append(caller)

    def resources(self) -> tuple[Resource, ...]:
        """All of them. Nothing that is made here becomes garbage, and looking for it would take most of the time."""
        was_on = gc.isenabled()
        gc.disable()
        try:
            return tuple(self._resources())
        finally:
            if was_on:
                gc.enable()

    def callers(self, called: Inhabitant) -> tuple[Inhabitant, ...]:
        """Who calls it."""
        return tuple(self._callers.get(called.number, ()))

    def access(self, called: Inhabitant, *, path: str = "/admin") -> Resource:
        """Who may call it: its callers; the shared ones may be called by all, but for one path."""
        selector = WorkloadSelector(match_labels={LABEL_APP: called.name})
        if called.is_shared:
            denied = Rule(to=(To(operation=Operation(paths=(path,))),))
            policy = AuthorizationPolicy(selector=selector, action="DENY", rules=(denied,))
        else:
            accounts = (f"{DEFAULT_TRUST_DOMAIN}/ns/{c.namespace}/sa/{c.name}" for c in self.callers(called))
            source = Source(principals=(*accounts, f"{DEFAULT_TRUST_DOMAIN}/ns/{ROOT}/sa/probe"))
            to = () if called.is_tcp else (To(operation=Operation(not_paths=(path,))),)
            policy = AuthorizationPolicy(selector=selector, rules=(Rule(from_=(From(source=source),), to=to),))
        return written("AuthorizationPolicy", called.namespace, called.name, policy)

    def _resources(self) -> Iterator[Resource]:
        yield from mesh_wide()
        for number in range(self.population.n_teams):
            yield written("Namespace", "", team_name(number), Namespace(), labels={"team": str(number)})
        for service in self.population.services:
            yield service_resource(service)
            yield from (entry(instance, service) for instance in instances_of(service))
            yield from self._policies(service)

    def _policies(self, service: Inhabitant) -> Iterator[Resource]:
        """Some of each kind, by the service's place in its team."""
        place = service.number % 10
        if service.has_canary:
            yield subsets(service)
        if service.has_canary and not service.is_tcp and place in (1, 3, 5, 7, 9):
            yield routes(service)
        if place in (2, 3, 7, 8):
            yield self.access(service)
        if place == 4:
            yield peer_policy(service)


def mesh_wide(*, denied: str = "/internal/*", n_requests: int = 1024) -> Iterator[Resource]:
    """What holds for everybody: mutual TLS, a path that nobody may call, a circuit breaker, retries."""
    yield written("PeerAuthentication", ROOT, "default", PeerAuthentication(mtls=MutualTLS(mode="STRICT")))
    yield mesh_access(denied=denied)
    pool = ConnectionPoolSettings(http=HTTPSettings(http2_max_requests=n_requests))
    breaker = DestinationRule(host="*.local", traffic_policy=TrafficPolicy(connection_pool=pool))
    yield written("DestinationRule", ROOT, "breaker", breaker)
    retries = HTTPRetry(attempts=2, retry_on="connect-failure,refused-stream,503")
    config = MeshConfig(default_http_retry_policy=retries, default_http_timeout=Duration.of(seconds=15))
    yield written("MeshConfig", "", "default", config)


def mesh_access(*, denied: str = "/internal/*") -> Resource:
    """The mesh-wide access policy."""
    rule = Rule(to=(To(operation=Operation(paths=(denied,))),))
    return written("AuthorizationPolicy", ROOT, "no-internals", AuthorizationPolicy(action="DENY", rules=(rule,)))


def service_resource(service: Inhabitant, *, n_more: int = 0) -> Resource:
    """The Service, with `n_more` ports beside its own that lead to the same port of the workloads."""
    name = "grpc" if service.is_grpc else _PORT_NAMES[service.is_tcp]
    more = (ServicePort(name=f"{name}-{n}", port=7000 + n, target_port=service.port) for n in range(n_more))
    ports = (ServicePort(name=name, port=service.port), *more)
    spec = Service(cluster_ip=service.vip, ports=ports, selector={LABEL_APP: service.name})
    return written("Service", service.namespace, service.name, spec)


def entry(instance: Instance, service: Inhabitant, *, weight: int = 0, address: str = "") -> Resource:
    """One instance's WorkloadEntry."""
    name = "grpc" if service.is_grpc else _PORT_NAMES[service.is_tcp]
    spec = WorkloadEntry(
        address=address or instance.address,
        ports={name: service.port},
        labels={
            LABEL_APP: instance.service,
            LABEL_VERSION: instance.version,
            LABEL_WORKLOAD: f"{instance.service}-{instance.version}",
            LABEL_TLS_MODE: "istio",
        },
        locality=instance.locality,
        weight=weight,
        service_account=instance.service,
    )
    return written("WorkloadEntry", instance.namespace, instance.name, spec)


def subsets(service: Inhabitant, *, n_errors: int = 5) -> Resource:
    """The DestinationRule of a service in two versions; an instance is left out after so many errors."""
    policy = TrafficPolicy(
        outlier_detection=OutlierDetection(consecutive5xx_errors=n_errors, interval=Duration.of(seconds=10))
    )
    versions = tuple(Subset(name=version, labels={LABEL_VERSION: version}) for version in ("v1", "v2"))
    rule = DestinationRule(host=service.host, traffic_policy=policy, subsets=versions)
    return written("DestinationRule", service.namespace, service.name, rule)


def routes(service: Inhabitant, *, share: int = 5) -> Resource:
    """The VirtualService of a service in two versions: testers get the new one, the others `share` percent of it."""
    to = {version: Destination(host=service.host, subset=version) for version in ("v1", "v2")}
    testers = HTTPMatchRequest(headers={"x-beta": StringMatch(exact="true")})
    split = (
        HTTPRouteDestination(destination=to["v1"], weight=100 - share),
        HTTPRouteDestination(destination=to["v2"], weight=share),
    )
    rules = VirtualService(
        hosts=(service.host,),
        http=(
            HTTPRoute(match=(testers, *_by_label(service)), route=(HTTPRouteDestination(destination=to["v2"]),)),
            HTTPRoute(route=split, timeout=Duration.of(seconds=3), retries=HTTPRetry(attempts=1, retry_on="5xx")),
        ),
    )
    return written("VirtualService", service.namespace, service.name, rules)


def peer_policy(service: Inhabitant) -> Resource:
    """A workload that is on its way into the mesh."""
    selector = WorkloadSelector(match_labels={LABEL_APP: service.name})
    spec = PeerAuthentication(selector=selector, mtls=MutualTLS(mode="PERMISSIVE"))
    return written("PeerAuthentication", service.namespace, service.name, spec)


def _by_label(service: Inhabitant) -> tuple[HTTPMatchRequest, ...]:
    """Rules that look at the caller's labels are rare: one in a hundred services has one."""
    if service.number % 100 != 1:
        return ()
    return (HTTPMatchRequest(source_labels={LABEL_VERSION: "v2"}),)
