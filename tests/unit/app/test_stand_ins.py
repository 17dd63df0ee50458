"""What guards a door and was never good here is stood in for by a closed door, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from byway.ads.prover import Unproven
from byway.app.inspection import Inspection
from byway.app.intake import incoming
from byway.base.digest import digest
from byway.derive.authorization import mutual_tls
from byway.kinds.document import Document, document_json
from byway.kinds.resource import ResourceId
from byway.kinds.text import documents
from byway.model.policy import MutualTls
from byway.sources.memory import MemorySource
from byway.sources.source import Put, Remove, Snapshot
from byway.testing.mesh import instance, service
from byway.xds.resource import Resource
from tests.unit.app.mesh_in_memory import MarkProver, MeshInMemory, Refusal, route, route_id

GUARD = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guard, namespace: default}
spec: {selector: {matchLabels: {app: link-service}}, rulez: []}
"""
DEMAND = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec: {selector: {matchLabels: {app: link-service}}, mtls: {mode: STRICTER}}
"""
BROAD = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: broad, namespace: default}
spec: {mtls: {mode: PERMISSIVE}}
"""
STRANGE = """---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: filter, namespace: default}
spec: {url: 'oci://filter'}
"""
INSTANCE = instance("link-1", app="link-service", address="10.0.0.2")
LABELS = (("app", "link-service"),)


def written(*texts: str) -> tuple[Document, ...]:
    return documents("".join(texts), "b.yaml").value


def loaded(setting: MeshInMemory, path: Path, *found: Document, ids: tuple[ResourceId, ...] = ()) -> Inspection:
    inspection = setting.inspection(path)
    inspection.load(Snapshot(0, found, ids=ids), "0.1 1.40")
    return inspection


def message(setting: MeshInMemory) -> str:
    (held,) = setting.quarantine.held()
    return held.diagnostic.message


def mode(setting: MeshInMemory) -> MutualTls:
    return mutual_tls(setting.database, "default", LABELS, 8080)


@pytest.mark.parametrize(
    ("name", "namespace"), [("Policy_One", "default"), ("guard", "Bad_NS"), ("ok", "x" * 300), ("a/b", "'5'")]
)
def test_a_name_that_cannot_be_written_stops_no_start(tmp_path: Path, name: str, namespace: str) -> None:
    setting = MeshInMemory()
    text = GUARD.replace("name: guard", f"name: {name}").replace("namespace: default", f"namespace: {namespace}")
    loaded(setting, tmp_path / "proofs.json", *written(text))
    in_force = setting.world.resource(ResourceId("AuthorizationPolicy", namespace.strip("'"), name))
    assert in_force is not None
    assert in_force.spec.selector.match_labels == {"app": "link-service"}
    assert not in_force.spec.rules
    assert "lets nobody in" in message(setting)


async def test_a_stand_in_goes_with_its_object_and_comes_back_after_a_restart(tmp_path: Path) -> None:
    setting = MeshInMemory()
    guard = ResourceId("AuthorizationPolicy", "default", "Policy_One")
    stored = written(GUARD.replace("name: guard", "name: Policy_One"))
    await loaded(setting, tmp_path / "proofs.json", *stored).save()
    again = MeshInMemory()
    loaded(again, tmp_path / "proofs.json", *stored)
    assert again.world.resource(guard) is not None
    outcome = await again.delete(guard)
    assert outcome.is_accepted
    assert again.world.resource(guard) is None


async def test_a_stand_in_follows_the_selector_of_what_it_stands_for() -> None:
    setting = MeshInMemory()
    for app in ("link-service", "user-service"):
        await setting.quarantine.take(incoming(written(GUARD.replace("link-service", app))))
    in_force = setting.world.resource(ResourceId("AuthorizationPolicy", "default", "guard"))
    assert in_force is not None
    assert in_force.spec.selector.match_labels == {"app": "user-service"}


@pytest.mark.parametrize(
    "broken", [DEMAND, DEMAND.replace("matchLabels", "matchLabelz"), DEMAND.replace("name: strict", "name: Zz_9")]
)
async def test_an_unreadable_demand_for_certificates_is_strict(broken: str) -> None:
    """Also where its selector cannot be read and another one for the whole namespace is permissive, whatever their names."""
    setting = MeshInMemory()
    await setting.apply(BROAD)
    assert mode(setting) is MutualTls.PERMISSIVE
    await setting.quarantine.take(incoming(written(broken)))
    assert mode(setting) is MutualTls.STRICT
    assert "STRICT mutual TLS is in force" in message(setting)
    await setting.delete(setting.quarantine.held()[0].id)
    assert mode(setting) is MutualTls.PERMISSIVE


async def test_a_remembered_good_version_that_does_not_decode_any_more_leaves_no_door_open(tmp_path: Path) -> None:
    good = GUARD.replace("rulez", "rules")
    setting = MeshInMemory()
    await setting.quarantine.take(incoming(written(good)))
    await setting.quarantine.take(incoming(written(GUARD)))
    assert "its last good version is in force" in message(setting)
    await setting.inspection(tmp_path / "proofs.json").save()
    path = tmp_path / "proofs.json"
    path.write_bytes(path.read_bytes().replace(b'"rules"', b'"rulers"'))
    again = MeshInMemory()
    loaded(again, path, *written(GUARD))
    assert again.world.resource(ResourceId("AuthorizationPolicy", "default", "guard")) is not None
    assert message(again).startswith("in quarantine, a policy that lets nobody in is in force: ")
    assert "last good" not in message(again)


async def test_a_later_start_finds_the_last_good_version_in_the_history(tmp_path: Path) -> None:
    """Of what does not decode and of what Envoy refuses; not what was there before a deletion."""
    prover = MarkProver()
    prover.groups = [("wrong",)]
    source = MemorySource()
    setting = MeshInMemory(source, prover)
    good = GUARD.replace("rulez: []", "rules: [{from: [{source: {namespaces: [shop]}}]}]")
    await source.commit([Put(d) for d in written(service("link-service"), good, route("r", "one"), route("gone", "x"))])
    await source.commit([Put(d) for d in written(route("r", "two"))])
    await source.commit([Remove(route_id("gone"))])
    await source.commit([Put(d) for d in written(GUARD, route("r", "wrong"), route("gone", "wrong"))])
    await setting.started(tmp_path / "proofs.json")
    in_force = setting.world.resource(ResourceId("AuthorizationPolicy", "default", "guard"))
    assert in_force is not None
    assert in_force.spec.rules
    assert (setting.headers("r"), setting.headers("gone")) == ({"x-two"}, set())
    said = {held.id.name: held.diagnostic.message.partition(":")[0] for held in setting.quarantine.held()}
    last = "in quarantine, its last good version is in force"
    assert said == {"guard": last, "r": last, "gone": "in quarantine, nothing of it is in force"}


async def test_a_history_that_is_not_kept_so_far_is_searched_as_far_as_it_is(tmp_path: Path) -> None:
    source = MemorySource(history=3)
    for text in (GUARD.replace("rulez", "rules"), *(route("r", f"v{n}") for n in range(4)), GUARD):
        await source.commit([Put(d) for d in written(text)])
    setting = MeshInMemory(source)
    await setting.started(tmp_path / "proofs.json")
    assert "lets nobody in" in message(setting)


class FailingProver(MarkProver):
    """Fails over what has the mark `poison`, as an error of Byway's would."""

    async def prove(self, resources: Sequence[Resource], /) -> Sequence[Refusal | Unproven]:
        if any(b"x-poison" in resource.any_bytes for resource in resources):
            raise AssertionError("no such case")
        return await super().prove(resources)


async def test_what_fails_to_be_judged_is_held_alone(tmp_path: Path) -> None:
    """An error of Byway's that one object sets off, and nobody to send it back to; at a start and afterwards."""
    stored = written(service("link-service"), route("a", "one"), route("z", "two"), route("p", "poison", host="user"))
    running, starting = MeshInMemory(prover=FailingProver()), MeshInMemory(prover=FailingProver())
    await running.quarantine.take(incoming(written(service("user"), INSTANCE)))
    await running.quarantine.take(incoming(stored))
    await starting.source.commit([Put(d) for d in (*written(service("user"), INSTANCE), *stored)])
    await starting.started(tmp_path / "proofs.json")
    for setting in (running, starting):
        assert [held.id.name for held in setting.quarantine.held()] == ["p"]
        assert (setting.headers("a"), setting.headers("p"), setting.headers("z")) == ({"x-one"}, set(), {"x-two"})
        await setting.catalogue.settled()


async def test_what_fails_to_be_decoded_is_held() -> None:
    (document,) = written(GUARD.replace("rulez", "rules"))
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"a": deep}
    body = {**document.body, "metadata": {**document.body["metadata"], "managedFields": deep}}
    setting = MeshInMemory()
    await setting.quarantine.take(incoming([Document(body=body)]))
    assert "RecursionError" in message(setting)
    assert "lets nobody in" in message(setting)


async def test_objects_without_a_name_or_kind_are_told_apart() -> None:
    setting = MeshInMemory()
    nameless = [Document(body={"spec": {"n": n}}, file="f.yaml") for n in range(2)]
    await setting.quarantine.take(incoming(nameless))
    names = {held.id.name for held in setting.quarantine.held()}
    assert names == {f"f.yaml#{digest(document_json(document))}" for document in nameless}


async def test_what_is_held_is_deleted_by_the_id_that_the_store_keeps_it_under(tmp_path: Path) -> None:
    setting = MeshInMemory()
    kept = ResourceId("Strange", "there", "one")
    loaded(setting, tmp_path / "proofs.json", Document(body={"spec": {}}), ids=(kept,))
    assert (await setting.delete(kept)).is_accepted
    assert len(setting.quarantine) == 0
