"""What comes without an author and may not stand is held at its last good version, alone, until it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from byway.app.intake import incoming
from byway.app.proposal import Judged
from byway.kinds.document import Document
from byway.kinds.resource import ResourceId
from byway.kinds.text import documents
from byway.model.names import ANNOTATION_INTERCEPTION
from byway.model.workload import Interception
from byway.sources.memory import MemorySource
from byway.sources.source import Put
from byway.testing.mesh import instance
from tests.unit.app.mesh_in_memory import SERVICES, MarkProver, MeshInMemory, route, route_id

GOOD, BAD = route("r", "good"), route("r", "wrong")
OTHER = route("other", "fine", host="user-service")
POLICY = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guard, namespace: default}
spec:
  selector: {matchLabels: {app: link-service}}
  rules: [{to: [{operation: {paths: [/wrong]}}]}]
"""


async def mesh(*groups: tuple[str, ...], source: MemorySource | None = None) -> MeshInMemory:
    prover = MarkProver()
    prover.groups = list(groups) or [("wrong",)]
    made = MeshInMemory(source, prover)
    if source is None:
        await made.apply(SERVICES)
    return made


def written(*texts: str) -> tuple[Document, ...]:
    return documents("".join(texts), "b.yaml").value


async def taken(setting: MeshInMemory, *texts: str, removes: tuple[ResourceId, ...] = ()) -> Judged:
    """What another control plane has stored comes in."""
    return await setting.quarantine.take(incoming(written(*texts)), removes)


async def stored(*texts: str) -> MemorySource:
    """A source with these documents, admitted by nobody."""
    source = MemorySource()
    await source.commit([Put(document) for document in written(SERVICES, *texts)])
    return source


async def status(setting: MeshInMemory, kind: str = "VirtualService", name: str = "r") -> dict[str, Any]:
    (body,) = await setting.standing.bodies(kind, "default", name)
    told: dict[str, Any] = body["status"]
    return told


async def test_a_bad_change_is_held_at_the_last_good_version_and_everything_else_goes_out() -> None:
    setting = await mesh()
    await taken(setting, GOOD)
    verdict = await taken(setting, BAD, OTHER)
    assert (setting.headers("r"), setting.headers("other")) == ({"x-good"}, {"x-fine"})
    assert verdict.change.ids == {route_id("other")}
    (held,) = setting.quarantine.held()
    assert str(held.diagnostic.position) == "b.yaml:10:31"
    assert "its last good version is in force" in held.diagnostic.message
    await setting.catalogue.settled()


async def test_what_was_never_good_is_absent() -> None:
    setting = await mesh()
    await taken(setting, BAD)
    assert setting.headers("r") == set()
    assert "nothing of it is in force" in setting.quarantine.held()[0].diagnostic.message


async def test_a_good_version_of_another_control_plane_ends_it() -> None:
    setting = await mesh()
    await taken(setting, BAD)
    await taken(setting, GOOD)
    assert (len(setting.quarantine), setting.headers("r")) == (0, {"x-good"})


@pytest.mark.parametrize("before", [(), (GOOD,)])
async def test_deletion_ends_it(before: tuple[str, ...]) -> None:
    setting = await mesh()
    for text in (*before, BAD):
        await taken(setting, text)
    outcome = await setting.delete(route_id("r"))
    assert [c.action for c in outcome.changes] == ["deleted"]
    assert (len(setting.quarantine), setting.headers("r")) == (0, set())
    await taken(setting, BAD)
    await taken(setting, removes=(route_id("r"),))
    assert len(setting.quarantine) == 0


async def test_a_good_apply_ends_it_and_is_stored() -> None:
    setting = await mesh()
    await taken(setting, GOOD)
    await taken(setting, BAD)
    outcome = await setting.apply(GOOD)
    assert [c.action for c in outcome.changes] == ["configured"], "what is stored is the bad one"
    assert len(setting.quarantine) == 0
    assert await setting.stored() == {"r"}


async def test_an_apply_of_the_bad_one_is_refused_and_leaves_it_held() -> None:
    setting = await mesh()
    await taken(setting, BAD)
    assert not (await setting.apply(BAD)).is_accepted
    assert len(setting.quarantine) == 1


async def test_two_that_collide_are_both_held_and_both_freed_when_one_goes() -> None:
    setting = await mesh(("one", "another"))
    await taken(setting, route("a", "one"), route("b", "another"), OTHER)
    assert [h.id.name for h in setting.quarantine.held()] == ["a", "b"]
    await setting.delete(route_id("a"))
    assert len(setting.quarantine) == 0
    assert setting.headers("b") == {"x-another"}


async def test_a_change_of_what_it_collides_with_ends_it() -> None:
    setting = await mesh(("one", "another"))
    await setting.apply(route("a", "one"))
    await taken(setting, route("b", "another"))
    assert [h.id.name for h in setting.quarantine.held()] == ["b"]
    await setting.apply(OTHER)
    assert len(setting.quarantine) == 1, "that has nothing to do with it"
    await setting.apply(route("a", "harmless"))
    assert len(setting.quarantine) == 0
    assert setting.headers("b") == {"x-another"}


async def test_without_an_answer_of_envoys_what_others_proved_is_taken() -> None:
    setting = await mesh()
    setting.prover.is_away = True
    await taken(setting, GOOD)
    assert setting.headers("r") == {"x-good"}


async def test_what_cannot_be_read_here_is_held_too() -> None:
    setting = await mesh()
    await taken(setting, GOOD)
    await taken(setting, GOOD.replace("hosts:", "hostnames:"))
    assert setting.headers("r") == {"x-good"}
    (held,) = setting.quarantine.held()
    assert "hostnames" in held.diagnostic.message


async def test_an_access_policy_that_was_never_good_lets_nobody_in() -> None:
    """Its selector is kept; where that cannot be read either, its whole namespace is closed."""
    setting = await mesh()
    guard = ResourceId("AuthorizationPolicy", "default", "guard")
    await taken(setting, POLICY.replace("rules:", "rulez:"))
    in_force = setting.world.resource(guard)
    assert in_force is not None
    assert in_force.document.body["spec"] == {"selector": {"matchLabels": {"app": "link-service"}}}
    told = await status(setting, "AuthorizationPolicy", "guard")
    assert "lets nobody in" in told["conditions"][0]["message"]
    await taken(setting, POLICY.replace("matchLabels:", "matchLabelz:"))
    assert "lets nobody in" in setting.quarantine.held()[0].diagnostic.message
    await taken(setting, POLICY)
    assert len(setting.quarantine) == 0


async def test_the_objects_status_says_what_is_in_force() -> None:
    setting = await mesh()
    await taken(setting, GOOD)
    assert (await status(setting))["conditions"][0]["status"] == "True"
    await taken(setting, BAD)
    told = await status(setting)
    condition = told["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Reconciled", "False", "Quarantined")
    assert condition["lastTransitionTime"].endswith("Z")
    assert told["validationMessages"][0]["type"] == {"name": "Quarantined", "code": "quarantined"}
    assert "b.yaml:10:31" in told["validationMessages"][0]["message"]
    (body,) = await setting.standing.bodies("VirtualService", "", "r")
    assert "x-wrong" in str(body["spec"]), "what is stored is shown"
    assert [d.code for d in await setting.standing.analysis() if d.subject == str(route_id("r"))] == ["quarantined"]


async def test_what_a_start_finds_stored_is_proved_and_the_bad_one_held(tmp_path: Path) -> None:
    setting = await mesh(source=await stored(BAD, OTHER, POLICY))
    await setting.started(tmp_path / "proofs.json")
    assert [h.id.name for h in setting.quarantine.held()] == ["r"]
    assert (setting.headers("r"), setting.headers("other")) == (set(), {"x-fine"})


async def test_a_start_after_which_nothing_is_new_proves_only_what_is_held(tmp_path: Path) -> None:
    """What it collided with may have gone meanwhile."""
    source = await stored(BAD, OTHER, POLICY)
    first = await mesh(source=source)
    await (await first.started(tmp_path / "proofs.json")).save()
    assert first.prover.n_proofs > 0
    second = await mesh(source=source)
    await second.started(tmp_path / "proofs.json")
    assert all("link-service" in name for name in second.prover.asked)
    assert [h.id.name for h in second.quarantine.held()] == ["r"]
    await second.delete(route_id("r"))
    third = await mesh(source=source)
    await third.started(tmp_path / "proofs.json")
    assert third.prover.n_proofs == 0


async def test_another_envoy_is_asked_about_everything_again(tmp_path: Path) -> None:
    """Also about what the one before refused."""
    source = await stored(BAD, OTHER)
    first = await mesh(source=source)
    await (await first.started(tmp_path / "proofs.json")).save()
    second = await mesh(("fine",), source=source)
    await second.started(tmp_path / "proofs.json", by="0.1 1.41")
    assert [h.id.name for h in second.quarantine.held()] == ["other"]
    assert second.headers("r") == {"x-wrong"}


async def test_the_last_good_version_outlives_a_restart(tmp_path: Path) -> None:
    source = await stored(GOOD)
    first = await mesh(source=source)
    inspection = await first.started(tmp_path / "proofs.json")
    await source.commit([Put(document) for document in written(BAD)])
    await taken(first, BAD)
    await inspection.save()
    second = await mesh(source=source)
    await second.started(tmp_path / "proofs.json")
    assert second.headers("r") == {"x-good"}
    assert len(second.quarantine) == 1


async def test_only_what_is_new_since_the_proofs_were_kept_is_proved(tmp_path: Path) -> None:
    source = await stored(OTHER)
    first = await mesh(source=source)
    await (await first.started(tmp_path / "proofs.json")).save()
    await source.commit([Put(document) for document in written(GOOD)])
    second = await mesh(source=source)
    await second.started(tmp_path / "proofs.json")
    assert second.prover.asked
    assert all("link-service" in name for name in second.prover.asked)


async def test_proofs_that_cannot_be_read_are_made_again(tmp_path: Path) -> None:
    source = await stored(BAD)
    (tmp_path / "proofs.json").write_bytes(b"{")
    setting = await mesh(source=source)
    await setting.started(tmp_path / "proofs.json")
    assert len(setting.quarantine) == 1


async def test_a_bad_mesh_config_is_held_and_not_all_that_it_spoils(tmp_path: Path) -> None:
    """Every virtual host is refused because of it."""
    config = (
        "---\napiVersion: byway.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\n"
        "spec: {defaultHttpRetryPolicy: {attempts: 7, retryOn: gateway-error}}\n"
    )
    setting = await mesh(source=await stored(GOOD, OTHER, config))
    setting.prover.groups = []
    setting.prover.refused_bytes = b"gateway-error"
    await setting.started(tmp_path / "proofs.json")
    assert [h.id.kind for h in setting.quarantine.held()] == ["MeshConfig"]
    assert (setting.headers("r"), setting.headers("other")) == ({"x-good"}, {"x-fine"})


async def test_a_bad_mesh_config_is_found_where_no_route_was_written(tmp_path: Path) -> None:
    config = "---\napiVersion: byway.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\nspec: {accessLogFile: /dev/x}\n"
    setting = await mesh(source=await stored(config))
    setting.prover.groups = []
    setting.prover.refused_bytes = b"/dev/x"
    await setting.started(tmp_path / "proofs.json")
    assert [h.id.kind for h in setting.quarantine.held()] == ["MeshConfig"]


async def test_a_bad_gateway_is_found_before_a_proxy_holds_it(tmp_path: Path) -> None:
    gateway = (
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: default}\n"
        "spec: {selector: {app: edge}, servers: [{port: {number: 8081, name: http, protocol: HTTP}, hosts: ['*']}]}\n"
    )
    edge = instance(
        "edge-1", app="edge", address="10.0.0.9", annotations={ANNOTATION_INTERCEPTION: Interception.NONE.value}
    )
    setting = await mesh(source=await stored(edge, gateway))
    setting.prover.groups = []
    setting.prover.refused_bytes = b"gateway/"
    await setting.started(tmp_path / "proofs.json")
    assert [h.id.name for h in setting.quarantine.held()] == ["edge"]
