"""The store keeps what it acknowledged, whatever happens to its process, its disk and its file."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byway.sources.errors import RevisionGone, StoreFault
from byway.sources.source import Put
from byway.sources.store import StoreSource

# Commits pairs of policies for ever and says each revision once it was acknowledged.
WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from byway.kinds import Document
from byway.sources.source import Put
from byway.sources.store import StoreSource

def policy(name, generation):
    meta = {"name": name, "namespace": "default", "annotations": {"generation": str(generation)}}
    return Put(Document({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta}))

async def main():
    store = await StoreSource.open(Path(sys.argv[1]))
    for generation in itertools.count((await store.load()).revision + 1):
        revision = await store.commit([policy("a", generation), policy("b", generation)])
        print(revision, flush=True)

asyncio.run(main())
"""


def _acknowledged(path: Path, n_commits: int) -> int:
    """The last revision that a writer acknowledged before it was killed, some time after `n_commits`."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = [line for _, line in zip(range(n_commits), writer.stdout, strict=False)]
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.read().splitlines(keepends=True)
    writer.wait(10)
    writer.stdout.close()
    assert len(lines) >= n_commits, "the writer died before it was killed"
    return int([line for line in lines if line.endswith("\n")][-1])


async def test_kill_dash_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, last = tmp_path / "store.sqlite", 0
    for n_commits in (1, 7, 40):
        acknowledged = await asyncio.to_thread(_acknowledged, path, n_commits)
        assert acknowledged > last
        store = await StoreSource.open(path)
        snapshot = await store.load()
        batches = [batch async for batch in _until(store, snapshot.revision)]
        await store.close()
        generations = {document.body["metadata"]["annotations"]["generation"] for document in snapshot.documents}
        assert snapshot.revision in (acknowledged, acknowledged + 1), "at most the one commit on its way is extra"
        assert generations == {str(snapshot.revision)}, "both policies are of the same commit"
        assert [batch.revision for batch in batches] == list(range(1, snapshot.revision + 1)), (
            "no event is lost or doubled"
        )
        last = snapshot.revision


async def _until(store: StoreSource, revision: int) -> Any:
    watch = store.watch(0)
    async for batch in watch:
        yield batch
        if batch.revision == revision:
            break
    await watch.aclose()


async def test_a_store_that_is_opened_again_goes_on_where_it_was(tmp_path: Path, written: Any) -> None:
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path)
    await store.commit([Put(written.service("docs"))])
    before = await store.load()
    await store.close()
    store = await StoreSource.open(path)
    assert await store.load() == before
    assert await store.commit([Put(written.service("docs"))]) == 1, "the address is kept, so nothing changes"
    await store.close()


async def test_positions_survive_in_the_store(tmp_path: Path) -> None:
    from byway.kinds import documents

    text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: blue\n"
    document = documents(text, "blue.yaml").value[0]
    store = await StoreSource.open(tmp_path / "store.sqlite")
    await store.commit([Put(document)])
    found = (await store.load()).documents[0]
    await store.close()
    assert str(found.position("metadata.name")) == "blue.yaml:4:3"


async def test_a_full_disk_refuses_the_commit_and_leaves_the_store_whole(tmp_path: Path, written: Any) -> None:
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path, max_bytes=256 * 1024)
    with pytest.raises(StoreFault, match=r"store\.sqlite: .* is full: free some space and try again"):
        await _fill(store, written)
    snapshot = await store.load()
    await store.close()
    revision = snapshot.revision
    assert revision > 10
    assert len(snapshot.documents) == 2 * revision, "no half of the refused pair is there"
    store = await StoreSource.open(path)
    assert await store.commit([Put(written.policy("more"))]) == revision + 1
    await store.close()


async def _fill(store: StoreSource, written: Any) -> None:
    for number in range(10_000):
        await store.commit([Put(written.policy(f"p{number}-{side}")) for side in ("a", "b")])


async def test_a_file_that_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database, but a text that is long enough to look at" * 100)
    with pytest.raises(StoreFault, match=r"store\.sqlite: it is no store: restore it from a backup"):
        await StoreSource.open(path)
    assert path.read_bytes().startswith(b"this is no database")


async def test_a_damaged_store_is_said_to_be_damaged(tmp_path: Path, written: Any) -> None:
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path)
    await store.commit([Put(written.policy(f"p{number}")) for number in range(200)])
    await store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreFault, match="it is damaged"):
        await StoreSource.open(path)


async def test_a_damaged_document_is_found_when_all_are_loaded(tmp_path: Path, written: Any) -> None:
    """Documents are read one by one, long after: what is wrong with one is said before, by name, and the others are there."""
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path)
    await store.commit([Put(written.policy(name)) for name in ("a", "b")])
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE resources SET document = ? WHERE name = 'b'", (b'{"body":{"kind":',))
    connection.close()
    store = await StoreSource.open(path)
    snapshot = await store.load()
    assert written.names(snapshot.documents) == ["a"]
    assert list(map(str, snapshot.damaged)) == ["PeerAuthentication default/b"]
    assert "cannot be read" in str(snapshot.diagnostics[0])
    assert await store.commit([Put(written.policy("b"))]) == 2, "it is mended by being applied anew"
    assert not (await store.load()).damaged
    await store.close()


@pytest.mark.parametrize("batch", [b"{", b'{"revision":1,"changes":[{"type":"Rename","id":1}]}'])
async def test_a_commit_that_cannot_be_read_is_passed_by_loading_anew(
    tmp_path: Path, written: Any, batch: bytes
) -> None:
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path)
    await store.commit([Put(written.policy("a"))])
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE commits SET batch = ?", (batch,))
    connection.close()
    store = await StoreSource.open(path)
    with pytest.raises(RevisionGone):
        await anext(store.watch(0))
    await store.close()


async def test_what_was_loaded_can_be_taken_one_by_one_in_parts_and_again(tmp_path: Path, written: Any) -> None:
    puts = [Put(written.policy(name)) for name in ("a", "b", "c")]
    store = await StoreSource.open(tmp_path / "store.sqlite")
    await store.commit(puts)
    found = (await store.load()).documents
    await store.close()
    wanted = tuple(put.document for put in puts)
    assert (len(found), found[0], found[1:], tuple(found)) == (3, wanted[0], wanted[1:], wanted)
    assert found == wanted
    assert found != wanted[:2]


async def test_a_store_of_a_later_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(StoreFault, match="its format is 9, not 1"):
        await StoreSource.open(path)


async def test_a_store_in_a_missing_folder_is_one_line_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match=r"no/store\.sqlite: .* check that its folder exists"):
        await StoreSource.open(tmp_path / "no" / "store.sqlite")


async def test_a_store_has_one_owner(tmp_path: Path) -> None:
    store = await StoreSource.open(tmp_path / "store.sqlite")
    with pytest.raises(StoreFault, match="another process uses it"):
        await StoreSource.open(tmp_path / "store.sqlite")
    await store.close()


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = await StoreSource.open(path)
    assert path.stat().st_mode & 0o077 == 0
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await StoreSource.open(tmp_path / "store.sqlite")
    await store.close()
    await store.close()
    with pytest.raises(StoreFault, match="closed"):
        await store.load()


async def test_the_queue_before_the_disk_is_bounded(tmp_path: Path, written: Any) -> None:
    store = await StoreSource.open(tmp_path / "store.sqlite")
    commits = [store.commit([Put(written.policy(f"p{number}"))]) for number in range(100)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) >= 64
    assert all(isinstance(result, int | StoreFault) for result in results)
    assert any("wait for the disk already" in str(result) for result in results)
    await store.close()


async def test_a_commit_whose_caller_went_away_is_told_to_watchers_or_never_happened(
    tmp_path: Path, written: Any
) -> None:
    store = await StoreSource.open(tmp_path / "store.sqlite")
    caller = asyncio.create_task(store.commit([Put(written.policy("a"))]))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    revision = (await store.load()).revision
    if revision:
        assert (await asyncio.wait_for(anext(store.watch(0)), 5)).revision == revision
    await store.close()
