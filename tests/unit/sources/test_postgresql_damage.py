"""What a shared store lost, or never was Byway's, is told, and keeps nothing else away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog

from byway.sources.errors import RevisionGone, StoreFault
from byway.sources.postgresql import PostgresSource
from byway.sources.source import Batch, Put
from byway.testing.postgres import PostgresServer

Execute = Callable[[str], None]
DEEP = '{"body":{"kind":"PeerAuthentication","spec":' + '{"a":' * 700 + "1" + "}" * 702

DEEP_BATCH = f'{{"revision":2,"changes":[{{"type":"Put","document":{DEEP}}}]}}'


@pytest.fixture
def execute(server: PostgresServer, database: str) -> Execute:
    """Does something to the store behind Byway's back."""
    return lambda statement: server.execute(statement, database.partition("?")[0].rpartition("/")[2])


@pytest.fixture
async def source(database: str, written: Any) -> AsyncIterator[PostgresSource]:
    """A store with policies a and b, of two commits."""
    found = await PostgresSource.open(database)
    for name in ("a", "b"):
        await found.commit([Put(written.policy(name))])
    yield found
    await found.close()


async def _next(source: PostgresSource, since: int) -> Batch:
    async with asyncio.timeout(10):
        return await anext(source.watch(since))


@pytest.mark.parametrize(
    "batch",
    ["{", "", '{"revision":2,"changes":[{"type":"Rename","id":1}]}', DEEP_BATCH],
    ids=["no json", "nothing", "another kind of change", "too deep"],
)
async def test_a_commit_that_cannot_be_read_is_passed_by_loading_anew(
    source: PostgresSource, execute: Execute, batch: str, written: Any
) -> None:
    """The commits before it are given, and those after it are followed again."""
    execute(f"UPDATE byway_commits SET batch = '{batch}' WHERE revision = 2")
    assert (await _next(source, 0)).revision == 1
    with pytest.raises(RevisionGone):
        await _next(source, 1)
    snapshot = await source.load()
    assert (snapshot.revision, written.names(snapshot.documents)) == (2, ["a", "b"])
    await source.commit([Put(written.policy("c"))])
    assert (await _next(source, 2)).revision == 3


@pytest.mark.parametrize("document", ["{", "", DEEP], ids=["no json", "nothing", "too deep"])
async def test_a_row_that_cannot_be_read_is_named_and_the_others_are_there(
    database: str, source: PostgresSource, execute: Execute, document: str, written: Any
) -> None:
    execute(f"UPDATE byway_resources SET document = '{document}' WHERE name = 'b'")
    another = await PostgresSource.open(database)
    snapshot = await another.load()
    await another.close()
    assert written.names(snapshot.documents) == ["a"]
    assert list(map(str, snapshot.damaged)) == ["PeerAuthentication default/b"]
    assert str(snapshot.diagnostics[0]).startswith(
        "PeerAuthentication default/b: what the store has of it cannot be read"
    )
    await source.commit([Put(written.policy("b"))])
    assert not (await source.load()).damaged, "it is mended by being applied anew"


async def test_a_store_that_cannot_be_followed_says_so_once_and_is_followed_again(
    source: PostgresSource, execute: Execute
) -> None:
    with structlog.testing.capture_logs() as logs:
        execute("ALTER TABLE byway_commits RENAME TO lost")
        hearing = asyncio.create_task(_next(source, 1))
        for _ in range(2):  # looks
            source._bell.ring()
            with pytest.raises(StoreFault, match="byway_commits"):
                await source.load()
        assert not source.away_since, "the server is there"
        assert source.unread_since is not None
        execute("ALTER TABLE lost RENAME TO byway_commits")
        assert (await hearing).revision == 2
    assert source.unread_since is None
    told = [log for log in logs if log["event"].startswith("store cannot be followed")]
    assert len(told) == 1
    assert "byway_commits" in told[0]["reason"]


async def test_another_history_is_noticed_at_the_same_revision(
    source: PostgresSource, execute: Execute, written: Any
) -> None:
    """A standby that took over lacked the last commit, and another one has been made there since."""
    await source.load()
    assert (await _next(source, 1)).revision == 2
    execute("UPDATE byway_commits SET token = gen_random_uuid() WHERE revision = 2")
    with pytest.raises(RevisionGone):
        await _next(source, 2)
    assert (await source.load()).revision == 2
    await source.commit([Put(written.policy("c"))])
    assert (await _next(source, 2)).revision == 3


async def test_a_commit_of_its_own_that_was_lost_is_noticed(
    source: PostgresSource, execute: Execute, written: Any
) -> None:
    """Though the watcher had not come to it before another was made in its place."""
    await source.load()
    await source.commit([Put(written.policy("c"))])
    execute("UPDATE byway_commits SET token = gen_random_uuid() WHERE revision = 3")
    with pytest.raises(RevisionGone):
        await _next(source, 2)


async def test_what_the_client_says_is_in_byways_log(source: PostgresSource, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs:
        logging.getLogger("psycopg").warning("query cancellation failed: %s", "timeout expired")
    assert [(log["event"], log["reason"]) for log in logs] == [
        ("store's client", "query cancellation failed: timeout expired")
    ]
    assert capfd.readouterr().err == ""
    assert source
