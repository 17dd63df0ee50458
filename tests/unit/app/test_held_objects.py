"""What is held in quarantine can be deleted as what it is, and keeps what is its own."""

from __future__ import annotations

import pytest

from byway.admin.port import NotFoundError, SourceText, Target
from byway.app.intake import incoming
from byway.app.writing import resource_ids
from byway.kinds.resource import ResourceId
from byway.kinds.text import documents
from byway.testing.mesh import service
from tests.unit.app.mesh_in_memory import MeshInMemory
from tests.unit.app.test_stand_ins import GUARD, STRANGE

FILTER = ResourceId("WasmPlugin", "default", "filter")


async def held(text: str) -> MeshInMemory:
    setting = MeshInMemory()
    await setting.quarantine.take(incoming(documents(text, "b.yaml").value))
    assert len(setting.quarantine) == 1
    return setting


@pytest.mark.parametrize("kind", ["WasmPlugin", "wasmplugins", "wasmplugin.extensions.istio.io"])
async def test_a_kind_that_is_not_known_is_deleted_by_name(kind: str) -> None:
    setting = await held(STRANGE)
    ids = {h.id for h in setting.quarantine.held()}
    assert resource_ids((Target(kind, "filter"),), "default", ids) == (FILTER,)
    with pytest.raises(NotFoundError):
        resource_ids((Target(kind, "another"),), "default", ids)
    outcome = await setting.delete(FILTER)
    assert [change.action for change in outcome.changes] == ["deleted"]
    assert len(setting.quarantine) == 0


@pytest.mark.parametrize("text", [STRANGE, GUARD.replace("name: guard", "name: Policy_One")])
async def test_what_is_held_is_deleted_by_its_file(text: str) -> None:
    setting = await held(text)
    outcome = await setting.writer.delete((SourceText("a.yaml", text),), "default", dry_run=False)
    assert [change.action for change in outcome.changes] == ["deleted"]
    assert len(setting.quarantine) == 0
    again = await setting.writer.delete((SourceText("a.yaml", text),), "default", dry_run=False)
    assert not again.is_accepted, "held no more, it is a mistake like any other"


async def test_a_held_service_keeps_its_address_and_nobody_else_gets_it() -> None:
    address = "240.240.9.9"
    text = service("held").replace("spec:\n", f"spec:\n  clusterIP: {address}\n  portz: []\n")
    setting = await held(text)
    taken = await setting.apply(service("other").replace("spec:\n", f"spec:\n  clusterIP: {address}\n"))
    assert "address-taken" in {d.code for d in taken.diagnostics}
    assert (await setting.apply(service("held"))).is_accepted
    (again,) = setting.world.resources("Service", "default", "held")
    assert again.spec.cluster_ip == address
