"""Rows of a store that cannot be read are held by their names; everything else is there, and no door is open for them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from byway.kinds.resource import ResourceId
from byway.kinds.text import documents
from byway.sources.memory import MemorySource
from byway.sources.source import Put
from byway.sources.store import StoreSource
from tests.unit.app.mesh_in_memory import SERVICES, MeshInMemory, route, route_id

GUARD = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guard, namespace: default}
spec:
  rules: [{to: [{operation: {paths: [/fine]}}]}]
"""
TLS = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: tls, namespace: default}
spec: {mtls: {mode: STRICT}}
"""
GUARDS = {ResourceId("AuthorizationPolicy", "default", "guard"), ResourceId("PeerAuthentication", "default", "tls")}
DEEP = b'{"body":{"kind":"VirtualService","spec":' + b'{"a":' * 700 + b"1" + b"}" * 702


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[StoreSource]:
    store = await StoreSource.open(path)
    try:
        yield store
    finally:
        await store.close()


async def stored(path: Path) -> None:
    text = SERVICES + GUARD + TLS + route("r", "good") + route("other", "fine", host="user-service")
    async with opened(path) as store:
        await store.commit([Put(document) for document in documents(text, "a.yaml").value])


def damage(path: Path, *names: str, content: bytes = b"{", history: bytes = b"{") -> None:
    """Rows of these names become `content`, and the last commit becomes `history`, where it is one."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        if history:
            connection.execute("UPDATE commits SET batch = ?", (history,))
        for name in names:
            connection.execute("UPDATE resources SET document = ? WHERE name = ?", (content, name))


def mesh(store: StoreSource) -> MeshInMemory:
    return MeshInMemory(cast("MemorySource", store))


async def started(setting: MeshInMemory, path: Path) -> None:
    inspection = setting.inspection(path)
    snapshot = await setting.source.load()
    inspection.load(snapshot, "0.1 1.40")
    setting.writer.following.revision = snapshot.revision
    await inspection.begin()
    await inspection.save()


@pytest.mark.parametrize("content", [b"{", b"", DEEP], ids=["no json", "nothing", "too deep"])
async def test_a_control_plane_starts_with_what_can_be_read_and_closes_what_guards(
    tmp_path: Path, content: bytes
) -> None:
    """Once more after a restart, and whatever is tried again in between: names alone are no object."""
    await stored(tmp_path / "store")
    damage(tmp_path / "store", "guard", "tls", "r", content=content)
    for _ in range(2):
        async with opened(tmp_path / "store") as store:
            setting = mesh(store)
            await started(setting, tmp_path / "proofs")
            held = {h.id: h for h in setting.quarantine.held()}
            assert held.keys() == {*GUARDS, route_id("r")}
            assert all(held[i].is_stand_in for i in GUARDS)
            assert str(held[route_id("r")].diagnostic).startswith(
                "VirtualService default/r: in quarantine, nothing of it"
            )
            assert "cannot be read" in held[route_id("r")].diagnostic.message
            assert (setting.headers("r"), setting.headers("other")) == (set(), {"x-fine"})
            bodies: list[Any] = list(await setting.standing.bodies("VirtualService", "default", "r"))
            assert bodies[0]["metadata"] == {"name": "r", "namespace": "default"}
            assert "spec" not in bodies[0]


async def test_a_running_one_keeps_its_last_good_version_across_a_restart(tmp_path: Path) -> None:
    await stored(tmp_path / "store")
    async with opened(tmp_path / "store") as store:
        setting = mesh(store)
        await started(setting, tmp_path / "proofs")
    damage(tmp_path / "store", "guard", "r")
    async with opened(tmp_path / "store") as store:
        setting.writer.following._source = store
        await setting.writer.following._load()
        assert setting.headers("r") == {"x-good"}
        inspection = setting.inspection(tmp_path / "proofs")
        inspection.by = "0.1 1.40"
        await inspection.save()
        again = mesh(store)
        await started(again, tmp_path / "proofs")
        assert again.headers("r") == {"x-good"}
        assert {h.id.name: h.is_stand_in for h in again.quarantine.held()} == {"guard": False, "r": False}


@pytest.mark.parametrize("verb", ["apply", "delete"])
async def test_it_is_mended_by_a_new_version_or_by_its_deletion(tmp_path: Path, verb: str) -> None:
    await stored(tmp_path / "store")
    damage(tmp_path / "store", "r")
    async with opened(tmp_path / "store") as store:
        setting = mesh(store)
        await started(setting, tmp_path / "proofs")
        outcome = await (setting.apply(route("r", "new")) if verb == "apply" else setting.delete(route_id("r")))
        assert outcome.is_accepted, msgspec.json.encode(outcome)
        assert len(setting.quarantine) == 0
        snapshot = await store.load()
        assert not snapshot.damaged
        assert setting.headers("r") == ({"x-new"} if verb == "apply" else set())


async def test_its_last_good_version_is_found_in_the_history(tmp_path: Path) -> None:
    await stored(tmp_path / "store")
    damage(tmp_path / "store", "r", "guard", history=b"")
    async with opened(tmp_path / "store") as store:
        setting = mesh(store)
        await started(setting, tmp_path / "proofs")
        assert setting.headers("r") == {"x-good"}
        assert {h.id.name: h.is_stand_in for h in setting.quarantine.held()} == {"guard": False, "r": False}
