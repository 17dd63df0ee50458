"""A folder of YAML is followed as it is edited, and a mistake in one file costs only that file's news."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from byway.sources.errors import ReadOnlySource, RevisionGone, StoreFault
from byway.sources.files import FileSource
from byway.sources.source import Put

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: {}\nspec:\n  clusterIP: {}\n"


async def test_every_yaml_file_below_the_folder_counts_and_hidden_ones_do_not(tmp_path: Path, written: Any) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.yaml").write_text(NAMESPACE.format("a"))
    (tmp_path / "deep" / "b.yml").write_text(NAMESPACE.format("b"))
    (tmp_path / "deep" / "c.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}')
    (tmp_path / ".git" / "d.yaml").write_text(NAMESPACE.format("d"))
    (tmp_path / "notes.txt").write_text("not: yaml: at all")
    assert written.names((await FileSource(tmp_path).load()).documents) == ["a", "b", "c"]


async def test_an_invalid_file_keeps_what_was_last_read_from_it(tmp_path: Path, written: Any) -> None:
    source = FileSource(tmp_path)
    (tmp_path / "a.yaml").write_text(NAMESPACE.format("a"))
    await source.load()
    (tmp_path / "a.yaml").write_text(NAMESPACE.format("a") + "---\n{")
    snapshot = await source.load()
    assert written.names(snapshot.documents) == ["a"]
    assert [found.code for found in snapshot.diagnostics] == ["invalid-yaml"]
    assert snapshot.revision == 1


async def test_the_first_of_two_with_one_id_counts_and_the_second_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(NAMESPACE.format("a"))
    (tmp_path / "b.yaml").write_text("---\n" + NAMESPACE.format("a"))
    snapshot = await FileSource(tmp_path).load()
    assert [Path(document.file).name for document in snapshot.documents] == ["a.yaml"]
    assert snapshot.diagnostics[0].code == "duplicate-resource"


async def test_two_services_with_one_address_leave_the_first(tmp_path: Path, written: Any) -> None:
    (tmp_path / "a.yaml").write_text(SERVICE.format("a", "10.0.0.9") + "---\n" + SERVICE.format("b", "10.0.0.9"))
    snapshot = await FileSource(tmp_path).load()
    assert written.names(snapshot.documents) == ["a"]
    assert [found.code for found in snapshot.diagnostics] == ["address-taken"]


async def test_kinds_of_others_are_noted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n")
    snapshot = await FileSource(tmp_path).load()
    assert snapshot.documents == ()
    assert [found.code for found in snapshot.diagnostics] == ["skipped-kind"]


async def test_a_watched_folder_is_looked_at_again_by_itself(tmp_path: Path) -> None:
    source = FileSource(tmp_path, interval_s=0.01)
    waiting = asyncio.ensure_future(anext(source.watch(0)))
    await asyncio.sleep(0)
    (tmp_path / "a.yaml").write_text(NAMESPACE.format("a"))
    assert (await asyncio.wait_for(waiting, 10)).revision == 1
    await source.close()


async def test_a_folder_is_read_only(tmp_path: Path, written: Any) -> None:
    with pytest.raises(ReadOnlySource, match="change its files"):
        await FileSource(tmp_path).commit([Put(written.policy("a"))])


async def test_a_missing_folder_is_one_line_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match="check that the folder exists"):
        await FileSource(tmp_path / "no").load()


async def test_a_new_source_knows_no_earlier_revisions(tmp_path: Path) -> None:
    with pytest.raises(RevisionGone):
        await anext(FileSource(tmp_path).watch(3))
