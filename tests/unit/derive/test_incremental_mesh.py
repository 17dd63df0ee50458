"""After any edits, what is derived step by step equals what is derived from scratch."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from byway.engine import Database
from byway.kinds.resource import Resource, ResourceId
from byway.testing.mesh import TestMesh, instance, resources_in, service
from byway.world.change import Change
from byway.world.host import World
from byway.xds import resources

LINK = "link-service.default.svc.cluster.local"
VARIANTS = [
    service("link-service", vip="240.240.0.9"),
    service("link-service", vip="240.240.0.10", ports=({"name": "http", "port": 8080}, {"name": "tcp", "port": 3306})),
    service("web", vip="240.240.0.11"),
    instance("stable-1", app="link-service", version="stable", address="10.0.0.2"),
    instance("stable-1", app="link-service", version="stable", address="10.0.0.7", is_meshed=False),
    instance("canary-1", app="link-service", version="canary", address="10.0.0.3"),
    instance("web-1", app="web", address="10.0.0.5"),
    """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec:
  hosts: [link-service]
  http:
  - match: [{sourceLabels: {app: web}, uri: {prefix: /a}}]
    route: [{destination: {host: link-service, subset: canary}}]
  - route: [{destination: {host: link-service, subset: stable}}]
    retries: {attempts: 3, retryOn: "5xx,503"}
""",
    """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec: {hosts: ["*.local"], http: [{timeout: 3s, route: [{destination: {host: web}}]}]}
""",
    """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: link-service}
spec: {host: link-service, subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]}
""",
    """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: default, namespace: istio-system}
spec: {host: "*.local", trafficPolicy: {connectionPool: {http: {http2MaxRequests: 7}}}}
""",
    """
apiVersion: byway.dev/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec: {defaultHttpTimeout: 7s, defaultHttpRetryPolicy: {attempts: 5, retryOn: 5xx}}
""",
    """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {action: DENY, selector: {matchLabels: {app: link-service}}, rules: [{to: [{operation: {paths: [/admin]}}]}]}
""",
    """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["./link-service"]}]}
""",
    """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: istio-system}
spec: {egress: [{hosts: ["default/web"]}]}
""",
    """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: PERMISSIVE}}
""",
]
POOL: list[Resource] = [resource for text in VARIANTS for resource in resources_in(text)]
EDITS = st.lists(st.tuples(st.sampled_from(POOL), st.booleans(), st.booleans()), min_size=1, max_size=14)


def everything(database: Database) -> list[str]:
    """A version for whatever any of the proxies may ask for."""
    found = []
    for who in ("stable-1", "canary-1", "web-1"):
        listeners, clusters = resources.outline(database, "default", who)
        found += [resources.listener_resource(database, "default", who, name) for name in listeners]
        found += [resources.instance_cluster_resource(database, "default", who, name) for name in clusters]
    for who in ("stable-1", "canary-1", "web-1", "nobody"):
        for host in ("link-service:8080", "web:8080", "nobody:8080", "link-service:3306"):
            found.append(resources.virtual_host_for(database, "default", who, f"out/{host}"))
        found.append(resources.called_cluster(database, "default", who, "tcp|240.240.0.10:3306"))
    for name in (
        f"outbound|8080||{LINK}",
        f"outbound|8080|stable|{LINK}",
        "tcp|240.240.0.9:8080",
        "tcp|240.240.0.10:3306",
    ):
        found.append(resources.cluster_resource(database, "default", name))
        found.append(resources.endpoints_resource(database, "default", name))
    return ["" if resource is None else f"{resource.name} {resource.version}" for resource in found]


@settings(deadline=None, max_examples=60)
@given(EDITS)
def test_incremental_equals_from_scratch_after_any_edits(edits: list[tuple[Resource, bool, bool]]) -> None:
    mesh = TestMesh()
    present: dict[ResourceId, Resource] = {}
    for resource, is_put, is_looked_at in edits:
        if is_put:
            mesh.world.apply(Change((resource,)))
            present[resource.id] = resource
        else:
            mesh.world.apply(Change((), (resource.id,)))
            present.pop(resource.id, None)
        if is_looked_at:
            everything(mesh.database)
    fresh = Database()
    World(fresh).apply(Change(tuple(present.values())))
    assert everything(mesh.database) == everything(fresh)


@settings(deadline=None, max_examples=40)
@given(EDITS, EDITS)
def test_the_inverse_of_a_change_restores_everything(
    before: list[tuple[Resource, bool, bool]], change: list[tuple[Resource, bool, bool]]
) -> None:
    mesh = TestMesh()
    for resource, _, _ in before:
        mesh.world.apply(Change((resource,)))
    was = everything(mesh.database)
    puts = {resource.id: resource for resource, is_put, _ in change if is_put}
    removes = {resource.id for resource, is_put, _ in change if not is_put} - puts.keys()
    undo = mesh.world.apply(Change(tuple(puts.values()), tuple(removes)))
    everything(mesh.database)
    mesh.world.apply(undo)
    assert everything(mesh.database) == was
