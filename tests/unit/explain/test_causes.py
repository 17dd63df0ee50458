"""Whatever a proxy holds can name the objects that it comes from."""

from __future__ import annotations

from byway.engine import Root
from byway.explain.causes import causes
from byway.testing.mesh import TestMesh, instance, service
from byway.xds import resources


def test_a_cluster_comes_of_its_service_its_instances_and_what_is_said_about_it() -> None:
    mesh = TestMesh()
    mesh.apply(service("a") + instance("a-1", app="a", address="10.0.0.2") + service("b"))
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: mesh-wide, namespace: istio-system}
spec: {host: "*.local", trafficPolicy: {loadBalancer: {simple: RANDOM}}}
""")
    root = Root(resources.cluster_resource, ("default", "outbound|8080||a.default.svc.cluster.local"))
    assert [str(cause) for cause in causes(mesh.database, root)] == [
        "DestinationRule istio-system/mesh-wide",
        "Service default/a",
        "WorkloadEntry default/a-1",
    ]
