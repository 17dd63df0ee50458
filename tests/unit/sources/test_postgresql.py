"""A store that several control planes share keeps what it acknowledged, and all of them see the same."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from byway.base.errors import UsageError
from byway.sources.errors import RevisionConflict, StoreFault
from byway.sources.postgresql import PostgresSource
from byway.sources.source import Batch, Put
from byway.sources.tables import Owner
from byway.testing.postgres import PostgresServer

# Commits pairs of policies for ever and says each revision once it was acknowledged.
WRITER = """
import asyncio, itertools, sys
from byway.kinds import Document
from byway.sources.postgresql import PostgresSource
from byway.sources.source import Put

def policy(name, generation):
    meta = {"name": name, "namespace": "default", "annotations": {"generation": str(generation)}}
    return Put(Document({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta}))

async def main():
    store = await PostgresSource.open(sys.argv[1])
    for generation in itertools.count((await store.load()).revision + 1):
        revision = await store.commit([policy("a", generation), policy("b", generation)])
        print(revision, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def own_server(server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    del server  # only to be skipped with it
    own = PostgresServer()
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
async def pair(database: str) -> AsyncIterator[tuple[PostgresSource, PostgresSource]]:
    """Two control planes' sources over one database."""
    first, second = await PostgresSource.open(database), await PostgresSource.open(database)
    yield first, second
    await first.close()
    await second.close()


async def _first(source: PostgresSource, since: int, limit_s: float = 5.0) -> Batch:
    async with asyncio.timeout(limit_s):
        return await anext(source.watch(since))


async def test_what_one_commits_the_other_hears_at_once(pair: Any, written: Any) -> None:
    """Long before it would look by itself."""
    first, second = pair
    hearing = asyncio.create_task(_first(second, 0, limit_s=1.0))
    await second.load()
    await first.commit([Put(written.service("docs"))])
    batch = await hearing
    assert written.names([change.document for change in batch.changes if isinstance(change, Put)]) == ["docs"]
    assert (await first.load()).documents == (await second.load()).documents


async def test_of_two_who_expect_the_same_revision_one_is_told(pair: Any, written: Any) -> None:
    first, second = pair
    outcomes = await asyncio.gather(
        *(source.commit([Put(written.policy(f"p{n}"))], expected=0) for n, source in enumerate(pair)),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RevisionConflict", "int"]
    conflict = next(outcome for outcome in outcomes if isinstance(outcome, RevisionConflict))
    assert (conflict.expected, conflict.actual) == (0, 1)
    assert (await first.load()).revision == (await second.load()).revision == 1


async def test_both_give_addresses_and_never_the_same_one(pair: Any, written: Any) -> None:
    commits = [pair[n % 2].commit([Put(written.service(f"s{n}"))]) for n in range(40)]
    assert sorted(await asyncio.gather(*commits)) == list(range(1, 41))
    documents = (await pair[0].load()).documents
    assert len({document.body["spec"]["clusterIP"] for document in documents}) == 40


async def test_both_are_opened_at_once_over_an_empty_database(database: str) -> None:
    sources = await asyncio.gather(*(PostgresSource.open(database) for _ in range(4)))
    assert [(await source.load()).revision for source in sources] == [0, 0, 0, 0]
    for source in sources:
        await source.close()


def _acknowledged(url: str, n_commits: int, crash: PostgresServer | None = None) -> int:
    """The last revision that a writer acknowledged before it was killed, or the server was, some time after `n_commits`."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert writer.stdout is not None
    lines = [line for _, line in zip(range(n_commits), writer.stdout, strict=False)]
    if crash is not None:
        crash.stop(is_crash=True)
    else:
        writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.read().splitlines(keepends=True)
    writer.wait(30)
    writer.stdout.close()
    assert len(lines) >= n_commits, "the writer died before it was to"
    return int([line for line in lines if line.endswith("\n") and line.strip().isdigit()][-1])


async def test_kill_dash_nine_of_a_control_plane_loses_nothing_acknowledged(database: str) -> None:
    last = 0
    for n_commits in (1, 20):
        acknowledged = await asyncio.to_thread(_acknowledged, database, n_commits)
        assert acknowledged > last
        last = await _check(database, acknowledged)


async def test_a_crash_of_the_server_loses_nothing_acknowledged(own_server: PostgresServer) -> None:
    acknowledged = await asyncio.to_thread(_acknowledged, own_server.url(), 20, own_server)
    own_server.start()
    await _check(own_server.url(), acknowledged)


async def _check(url: str, acknowledged: int) -> int:
    source = await PostgresSource.open(url)
    snapshot = await source.load()
    await source.close()
    generations = {document.body["metadata"]["annotations"]["generation"] for document in snapshot.documents}
    assert snapshot.revision in (acknowledged, acknowledged + 1), "at most the one commit on its way is extra"
    assert generations == {str(snapshot.revision)}, "both policies are of the same commit"
    return snapshot.revision


async def test_while_the_server_is_away_writes_are_refused_and_watchers_wait(
    own_server: PostgresServer, written: Any
) -> None:
    """Nobody has to open anything again when it is back."""
    source = await PostgresSource.open(own_server.url())
    await source.commit([Put(written.policy("a"))])
    watching = asyncio.create_task(_first(source, 1, limit_s=30.0))
    await asyncio.to_thread(own_server.stop)
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"store postgresql://.*; nothing was changed"):
            await source.commit([Put(written.policy("b"))])
    with pytest.raises(StoreFault, match="see that the server runs"):
        await source.load()
    await asyncio.to_thread(own_server.start)
    assert await source.commit([Put(written.policy("b"))]) == 2
    assert (await watching).revision == 2
    await source.close()


async def test_a_connection_that_was_cut_is_opened_again_unseen(
    server: PostgresServer, database: str, written: Any
) -> None:
    source = await PostgresSource.open(database)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'byway'"
    for number in range(3):
        await asyncio.to_thread(server.execute, cut)
        assert await source.commit([Put(written.policy(f"p{number}"))]) == number + 1
    await asyncio.to_thread(server.execute, cut)
    assert len((await source.load()).documents) == 3
    assert (await _first(source, 2)).revision == 3
    await source.close()


class _DeafRelay:
    """Stands before a server, and cuts the first connection whose COMMIT has been answered, without passing the answer on."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self.folder = folder
        self.is_armed = False
        self.n_cut = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> _DeafRelay:
        self._listener = await asyncio.start_unix_server(self._serve, self.folder / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await self._listener.wait_closed()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        up_reader, up_writer = await asyncio.open_unix_connection(self._server.folder / ".s.PGSQL.5432")
        is_committing = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(65536):
                if b"COMMIT" in data:
                    is_committing.set()
                up_writer.write(data)

        async def down() -> None:
            while data := await up_reader.read(65536):
                if is_committing.is_set() and not self.n_cut and self.is_armed:
                    self.n_cut += 1
                    return
                is_committing.clear()
                writer.write(data)

        pumps = [asyncio.create_task(up()), asyncio.create_task(down())]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for stream in (writer, up_writer):
            stream.close()
            with contextlib.suppress(OSError):
                await stream.wait_closed()


async def test_a_commit_whose_answer_was_lost_is_made_once(
    server: PostgresServer, database: str, tmp_path: Path, written: Any
) -> None:
    """It is tried again on a new connection, and finds there that it had been made."""
    async with _DeafRelay(server, tmp_path) as relay:
        source = await PostgresSource.open(database.replace(str(server.folder), str(relay.folder)))
        relay.is_armed = True
        assert await source.commit([Put(written.policy("a"))], expected=0) == 1
        assert relay.n_cut == 1
        assert await source.commit([Put(written.policy("b"))], expected=1) == 2
        await source.close()


async def test_a_server_that_is_not_there_is_one_line_without_the_password() -> None:
    with pytest.raises(StoreFault) as fault:
        await PostgresSource.open("postgresql://ada:s3cret@127.0.0.1:1/mesh")
    text = str(fault.value)
    assert text.startswith("store postgresql://127.0.0.1:1/mesh: ")
    assert text.endswith("see that the server runs and lets this host in")
    assert "\n" not in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x",
        "postgresql://ada:s3%cret@host/mesh",
        "postgresql://host/mesh?s3cret=1",
        "postgresql://ada:s3/cret@host/mesh",
        "postgresql://ada:s3@cret@host/mesh",
        "postgresql://ada@s3/cret@host/mesh",
    ],
)
async def test_what_is_no_url_is_said_without_a_word_of_it(url: str) -> None:
    with pytest.raises(UsageError, match="percent-encode what is special") as fault:
        await PostgresSource.open(url)
    assert "cret" not in str(fault.value)


async def test_a_store_of_a_later_format_is_left_alone(server: PostgresServer, database: str) -> None:
    await (await PostgresSource.open(database)).close()
    name = database.partition("?")[0].rpartition("/")[2]
    server.execute("UPDATE byway_state SET format = 9", name)
    with pytest.raises(StoreFault, match="format is 9, not 1"):
        await PostgresSource.open(database)


async def test_a_user_who_may_make_no_tables_is_told(server: PostgresServer, database: str) -> None:
    server.execute("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    with pytest.raises(StoreFault, match="grant its user the right"):
        await PostgresSource.open(database.replace("byway@", "guest@"))


async def test_the_store_is_bounded(database: str, written: Any) -> None:
    source = await PostgresSource.open(database, max_bytes=20_000)
    with pytest.raises(StoreFault, match="limit of 20000 bytes is full"):
        await _fill(source, written)
    snapshot = await source.load()
    assert len(snapshot.documents) == 2 * snapshot.revision > 0, "no half of the refused pair is there"
    await source.close()


async def _fill(source: PostgresSource, written: Any) -> None:
    for number in range(1000):
        await source.commit([Put(written.policy(f"p{number}-{side}")) for side in ("a", "b")])


async def test_the_queue_before_the_server_is_bounded(database: str, written: Any) -> None:
    source = await PostgresSource.open(database)
    commits = [source.commit([Put(written.policy(f"p{number}"))]) for number in range(100)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) >= 64
    assert all(isinstance(result, int | StoreFault) for result in results)
    assert any("wait for the store already" in str(result) for result in results)
    await source.close()


async def test_a_commit_whose_caller_went_away_is_told_to_watchers(pair: Any, written: Any) -> None:
    caller = asyncio.create_task(pair[0].commit([Put(written.policy("a"))]))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert (await _first(pair[1], 0)).revision == 1


async def test_a_closed_store_says_so(database: str) -> None:
    source = await PostgresSource.open(database)
    await source.close()
    await source.close()
    with pytest.raises(StoreFault, match="closed"):
        await source.load()


async def test_the_first_root_claims_the_store_and_another_is_told_whose_it_is(pair: Any) -> None:
    """A root that is believed may take over from the one before it: so roots are rotated."""
    first, second = pair
    assert await first.root() == ""
    assert await first.claim("shop", "old", ["old"]) is None
    assert await second.claim("shop", "other", ["other"]) == Owner("shop", "old")
    assert await second.claim("shop", "old", ["old", "new"]) is None
    assert await first.claim("shop", "new", ["old", "new"]) is None
    assert await second.claim("shop", "old", ["old", "new"]) is None, (
        "who still signs under the old one believes in the new one"
    )
    assert await second.claim("shop", "old", ["old"]) is None


async def test_a_store_is_bound_to_one_meshs_name_even_if_it_was_made_before_that(pair: Any, database: str) -> None:
    first, second = pair
    assert await first.claim("shop", "old", ["old"]) is None
    assert await second.claim("bank", "old", ["old"]) == Owner("shop", "old")
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("ALTER TABLE byway_state DROP COLUMN mesh")
    source = await PostgresSource.open(database)
    try:
        assert await source.claim("bank", "old", ["old"]) is None
        assert await source.claim("shop", "old", ["old"]) == Owner("bank", "old")
    finally:
        await source.close()
