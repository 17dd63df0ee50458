"""A destination with all that operators said about calling it."""

from __future__ import annotations

from byway.base.duration import Duration
from byway.derive.clusters import cluster
from byway.model.destination import Balancing
from byway.testing.mesh import TestMesh, instance, service

LINK = "link-service.default.svc.cluster.local"
NAME = f"outbound|8080||{LINK}"
CANARY = f"outbound|8080|canary|{LINK}"
MESH_WIDE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: default, namespace: istio-system}
spec:
  host: "*.local"
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 7}}
    outlierDetection: {consecutive5xxErrors: 5, interval: 2s}
"""
OWN = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: link-service}
spec:
  host: link-service
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets:
  - {name: stable, labels: {version: stable}}
  - name: canary
    labels: {version: canary}
    trafficPolicy: {connectionPool: {http: {http2MaxRequests: 3}}}
"""


def mesh() -> TestMesh:
    made = TestMesh(strict=True)
    made.apply(
        service("link-service", vip="240.240.0.9")
        + instance("stable-1", app="link-service", version="stable", address="10.0.0.2")
        + instance("canary-1", app="link-service", version="canary", address="10.0.0.3")
    )
    return made


def test_servers_may_show_only_the_identities_of_the_instances() -> None:
    found = cluster(mesh().database, "default", NAME)
    assert found is not None
    assert found.identities == ("spiffe://cluster.local/ns/default/sa/link-service",)
    assert found.is_meshed


def test_one_instance_without_a_sidecar_makes_the_cluster_speak_http1() -> None:
    made = mesh()
    made.apply(instance("bare-1", app="link-service", address="10.0.0.4", is_meshed=False))
    found = cluster(made.database, "default", NAME)
    assert found is not None
    assert not found.is_meshed


def test_the_mesh_wide_policy_holds_for_a_service_with_a_rule_of_its_own() -> None:
    made = mesh()
    made.apply(MESH_WIDE)
    made.apply(OWN)
    found = cluster(made.database, "default", NAME)
    assert found is not None
    assert found.policy.limits is not None
    assert (found.policy.limits.max_requests, found.policy.balancing) == (7, Balancing.RANDOM)
    assert found.policy.ejection is not None
    assert found.policy.ejection.interval == Duration.of(seconds=2)


def test_a_subset_says_more_than_its_service_and_less_is_taken_from_it() -> None:
    made = mesh()
    made.apply(MESH_WIDE)
    made.apply(OWN)
    found = cluster(made.database, "default", CANARY)
    assert found is not None
    assert found.policy.limits is not None
    assert (found.policy.limits.max_requests, found.policy.balancing) == (3, Balancing.RANDOM)


def test_a_wildcard_rule_outside_the_root_namespace_has_no_effect_and_is_told() -> None:
    made = mesh()
    found = made.apply(MESH_WIDE.replace("istio-system", "default"))
    assert [d.code for d in found] == ["wildcard-outside-root"]
    derived = cluster(made.database, "default", NAME)
    assert derived is not None
    assert derived.policy.limits is None


def test_a_cluster_can_be_asked_for_by_the_virtual_address() -> None:
    found = cluster(mesh().database, "default", "tcp|240.240.0.9:8080")
    assert found is not None
    assert found.service == LINK
    assert cluster(mesh().database, "default", "tcp|240.240.0.9:9") is None
    assert cluster(mesh().database, "default", "tcp|8.8.8.8:53") is None
