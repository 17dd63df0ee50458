"""A mesh in memory: resources as YAML go in, and every query can be asked; the engine's events are kept to assert on.

mesh = TestMesh()
mesh.apply('''...''')
mesh.database, mesh.world, mesh.computed()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from byway.base.diagnostics import Diagnostic
from byway.base.errors import UsageError
from byway.derive.analysis import findings
from byway.engine import Database, Event, WillCompute
from byway.kinds.decode import decode
from byway.kinds.encode import body_yaml
from byway.kinds.resource import Resource, ResourceId
from byway.kinds.text import documents
from byway.model.names import LABEL_APP, LABEL_TLS_MODE, LABEL_VERSION, LABEL_WORKLOAD
from byway.world.change import Change
from byway.world.host import World


class TestMesh:
    """A world with its database. `strict` has the engine check every reused result against a fresh one."""

    __test__ = False

    def __init__(self, *, strict: bool = False) -> None:
        self._events: list[Event] = []
        self.database = Database(strict=strict, on_event=self._events.append)
        self.world = World(self.database)

    def apply(self, text: str, file: str = "test.yaml") -> tuple[Diagnostic, ...]:
        """Puts the resources in `text`; returns what was found, and raises `UsageError` where they do not decode."""
        resources = resources_in(text, file)
        self.world.apply(Change(resources))
        return tuple(d for r in resources for d in findings(self.database, r.id))

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Removes one resource."""
        self.world.apply(Change((), (ResourceId(kind, namespace, name),)))

    def computed(self) -> list[str]:
        """The names of the queries that ran since the last call, sorted."""
        names = sorted(str(event.query.name) for event in self._events if isinstance(event, WillCompute))
        self._events.clear()
        return names


def resources_in(text: str, file: str = "test.yaml") -> tuple[Resource, ...]:
    """The resources in a YAML text."""
    parsed = documents(text, file)
    decoded = [decode(document) for document in parsed.value]
    errors = [
        d for d in (*parsed.diagnostics, *(d for r in decoded for d in r.diagnostics)) if d.severity.value == "error"
    ]
    if errors:
        raise UsageError("\n".join(map(str, errors)))
    return tuple(r.value for r in decoded if r.value is not None)


def service(
    name: str, *, vip: str = "", ports: Sequence[Mapping[str, object]] = ({"name": "http", "port": 8080},)
) -> str:
    """A Service in YAML that selects `app: <name>`."""
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {LABEL_APP: name},
            "ports": [dict(port) for port in ports],
            **({"clusterIP": vip} if vip else {}),
        },
    }
    return f"---\n{body_yaml(body)}"


def instance(
    name: str,
    *,
    app: str,
    address: str,
    version: str = "v1",
    is_meshed: bool = True,
    ports: Mapping[str, int] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> str:
    """A WorkloadEntry in YAML, with the service account `<app>`."""
    labels = {LABEL_APP: app, LABEL_VERSION: version, LABEL_WORKLOAD: f"{app}-{version}"}
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": name, "namespace": "default", "annotations": dict(annotations or {})},
        "spec": {
            "address": address,
            "ports": dict(ports or {"http": 8080}),
            "serviceAccount": app,
            "labels": labels | ({LABEL_TLS_MODE: "istio"} if is_meshed else {}),
        },
    }
    return f"---\n{body_yaml(body)}"
