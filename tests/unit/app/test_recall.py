"""Earlier versions are found as far back as a store, here one in a file, keeps its commits."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from byway.app.recall import earlier
from byway.kinds.text import documents
from byway.sources.source import Put, Remove
from byway.sources.store import StoreSource
from tests.unit.app.mesh_in_memory import route, route_id

WANTED = frozenset({route_id("r")})


async def found(path: Path, *, damaged: int = 0, history: int = 1000) -> list[str]:
    """The marks of `r`'s versions, newest first; its commits are v0 … v3, and others' in between."""
    store = await StoreSource.open(path, history=history)
    for n in range(4):
        text = route("r", f"v{n}") + route("other", f"v{n}")
        revision = await store.commit([Put(document) for document in documents(text, "a.yaml").value])
    await store.close()
    if damaged:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE commits SET batch = '{' WHERE revision = ?", (damaged,))
    store = await StoreSource.open(path, history=history)
    versions = await earlier(store, revision, WANTED)
    await store.close()
    assert versions.keys() <= WANTED
    headers = (v.document.body["spec"]["http"][0]["headers"]["request"]["set"] for v in versions.get(route_id("r"), ()))
    return [mark for header in headers for mark in header]


async def test_all_versions_are_found_newest_first(tmp_path: Path) -> None:
    assert await found(tmp_path / "store") == ["x-v3", "x-v2", "x-v1", "x-v0"]


async def test_only_what_is_kept_is_found(tmp_path: Path) -> None:
    assert await found(tmp_path / "store", history=2) == ["x-v3", "x-v2"]


async def test_a_commit_that_cannot_be_read_hides_what_was_before_it(tmp_path: Path) -> None:
    """It may have been a deletion."""
    assert await found(tmp_path / "store", damaged=2) == ["x-v3", "x-v2"]


async def test_a_deletion_hides_what_was_before_it(tmp_path: Path) -> None:
    store = await StoreSource.open(tmp_path / "store")
    await store.commit([Put(document) for document in documents(route("r", "old"), "a.yaml").value])
    revision = await store.commit([Remove(route_id("r"))])
    assert await earlier(store, revision, WANTED) == {}
    await store.close()


async def test_a_store_that_is_closed_is_told_and_no_reason_to_stop(tmp_path: Path) -> None:
    store = await StoreSource.open(tmp_path / "store")
    await store.close()
    assert await earlier(store, 3, WANTED) == {}
