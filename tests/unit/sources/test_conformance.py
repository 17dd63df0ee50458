"""Whatever keeps the documents, a source keeps its contract."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from byway.kinds import ResourceId
from byway.sources.errors import CommitRefused, RevisionConflict, RevisionGone
from byway.sources.source import Change, Put, Remove, Source

DOCS = ResourceId("Service", "default", "docs")


async def test_a_new_source_is_empty_at_revision_zero(writing: Any) -> None:
    snapshot = await writing.source.load()
    assert (snapshot.revision, snapshot.documents) == (0, ())


async def test_what_was_put_is_loaded_in_the_order_of_ids(writing: Any, written: Any) -> None:
    await writing.change(Put(written.service("web")), Put(written.service("docs")), Put(written.policy("all")))
    snapshot = await writing.source.load()
    assert snapshot.revision == 1
    assert written.names(snapshot.documents) == ["all", "docs", "web"]


async def test_one_change_is_one_batch_for_a_watcher(writing: Any, written: Any) -> None:
    await writing.change(Put(written.policy("a")), Put(written.policy("b")))
    batch = await writing.first_batch(0)
    assert batch.revision == 1
    assert sorted(written.names([change.document for change in batch.changes])) == ["a", "b"]


async def test_a_watcher_who_waits_is_told(writing: Any, written: Any) -> None:
    waiting = asyncio.create_task(writing.first_batch(0))
    await asyncio.sleep(0)
    await writing.change(Put(written.policy("a")))
    assert (await asyncio.wait_for(waiting, 5)).revision == 1


async def test_load_and_watch_together_miss_nothing(writing: Any, written: Any) -> None:
    await writing.change(Put(written.policy("a")))
    snapshot = await writing.source.load()
    await writing.change(Put(written.policy("b")))
    await writing.change(Put(written.policy("a", "DISABLE")))
    seen = []
    watch = writing.source.watch(snapshot.revision)
    async for batch in watch:
        seen.append((batch.revision, written.names([change.document for change in batch.changes])))
        if len(seen) == 2:
            break
    await watch.aclose()
    assert seen == [(2, ["b"]), (3, ["a"])]


async def test_what_was_removed_is_gone_and_told(writing: Any, written: Any) -> None:
    await writing.change(Put(written.service("docs")))
    await writing.change(Remove(DOCS))
    assert (await writing.source.load()).documents == ()
    assert (await writing.first_batch(1)).changes == (Remove(DOCS),)


async def test_a_change_without_effect_is_no_revision(writing: Any, written: Any) -> None:
    await writing.change(Put(written.service("docs")))
    await writing.change(Put(written.service("docs")), Remove(ResourceId("Service", "default", "nobody")))
    assert (await writing.source.load()).revision == 1


async def test_a_revision_that_never_was_is_gone(writing: Any) -> None:
    with pytest.raises(RevisionGone):
        await writing.first_batch(7)


async def test_watchers_end_when_the_source_is_closed(writing: Any) -> None:
    async def everything() -> list[object]:
        return [batch async for batch in writing.source.watch(0)]

    waiting = asyncio.create_task(everything())
    await writing.source.load()
    await writing.source.close()
    assert await asyncio.wait_for(waiting, 5) == []


async def test_a_service_gets_an_address_and_keeps_it(writing: Any, written: Any) -> None:
    await writing.change(Put(written.service("docs")))
    first = written.address((await writing.source.load()).documents, "docs")
    await writing.change(Put(written.service("docs", port=81)))
    second = written.address((await writing.source.load()).documents, "docs")
    assert first.startswith("240.240.")
    assert second == first


async def test_an_explicit_address_and_a_headless_service_stay_as_written(writing: Any, written: Any) -> None:
    await writing.change(Put(written.service("a", "10.0.0.9")), Put(written.service("b", "None")))
    documents = (await writing.source.load()).documents
    assert (written.address(documents, "a"), written.address(documents, "b")) == ("10.0.0.9", "None")


async def test_no_two_services_share_an_address(writable: Source, written: Any) -> None:
    await writable.commit([Put(written.service("a", "10.0.0.9"))])
    with pytest.raises(CommitRefused) as refused:
        await writable.commit([Put(written.policy("p")), Put(written.service("b", "10.0.0.9"))])
    assert [str(found) for found in refused.value.diagnostics] == [
        "test.yaml:1:1: clusterIP 10.0.0.9 belongs to Service default/a (leave clusterIP out and Byway assigns one)"
    ]
    assert written.names((await writable.load()).documents) == ["a"]


async def test_an_address_is_free_again_when_its_service_is_gone(writable: Source, written: Any) -> None:
    await writable.commit([Put(written.service("a", "10.0.0.9"))])
    moved: list[Change] = [Put(written.service("b", "10.0.0.9")), Remove(ResourceId("Service", "default", "a"))]
    assert await writable.commit(moved) == 2


async def test_a_commit_at_another_revision_than_expected_changes_nothing(writable: Source, written: Any) -> None:
    await writable.commit([Put(written.policy("a"))], expected=0)
    with pytest.raises(RevisionConflict):
        await writable.commit([Put(written.policy("b"))], expected=0)
    assert (await writable.load()).revision == 1


async def test_commits_at_the_same_time_each_get_a_revision_of_their_own(writable: Source, written: Any) -> None:
    commits = [writable.commit([Put(written.policy(f"p{number}"))]) for number in range(20)]
    assert sorted(await asyncio.gather(*commits)) == list(range(1, 21))
    assert len((await writable.load()).documents) == 20


async def test_of_several_changes_to_one_resource_the_last_counts(writable: Source, written: Any) -> None:
    await writable.commit([Remove(DOCS), Put(written.service("docs")), Put(written.service("docs", port=81))])
    assert (await writable.load()).documents[0].body["spec"]["ports"] == [{"port": 81}]


async def test_a_document_without_an_id_is_refused(writable: Source, written: Any) -> None:
    nameless = written.service("")
    with pytest.raises(CommitRefused):
        await writable.commit([Put(nameless)])


async def test_a_watcher_too_far_behind_is_told_to_load_again(writable: Source, written: Any) -> None:
    for number in range(31):
        await writable.commit([Put(written.policy("a", "STRICT" if number % 2 else "DISABLE"))])
    watch = writable.watch(0)
    with pytest.raises(RevisionGone):
        await anext(watch)
    assert (await anext(writable.watch(1))).revision == 2
