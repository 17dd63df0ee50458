"""One door to every kind of source, so that one suite can knock on all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest

from byway.kinds import Document, ResourceId, resource_id
from byway.sources.files import FileSource
from byway.sources.memory import MemorySource
from byway.sources.postgresql import PostgresSource
from byway.sources.source import Batch, Change, Put, Source
from byway.sources.store import StoreSource
from byway.testing.postgres import PostgresMissing, PostgresServer

HISTORY = 30
"""Short, so that a watcher is soon too far behind."""
KINDS = ("memory", "store", "postgresql", "files")


class Written:
    """Documents as an operator writes them, and what the tests read off them."""

    @staticmethod
    def service(name: str, cluster_ip: str = "", port: int = 80) -> Document:
        spec: dict[str, object] = {"ports": [{"port": port}]}
        if cluster_ip:
            spec["clusterIP"] = cluster_ip
        meta = {"name": name, "namespace": "default"}
        return Document({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}, "test.yaml")

    @staticmethod
    def policy(name: str, mode: str = "STRICT") -> Document:
        meta = {"name": name, "namespace": "default"}
        body = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta}
        return Document({**body, "spec": {"mtls": {"mode": mode}}}, "test.yaml")

    @staticmethod
    def names(documents: Sequence[Document]) -> list[str]:
        return [document.body["metadata"]["name"] for document in documents]

    @staticmethod
    def address(documents: Sequence[Document], name: str) -> str:
        """The clusterIP of the Service of that name."""
        found = next(document for document in documents if document.body["metadata"]["name"] == name)
        return str(found.body["spec"].get("clusterIP", ""))


@pytest.fixture
def written() -> type[Written]:
    return Written


class Writing:
    """A source, and the way in which its documents are changed."""

    def __init__(self, source: Source) -> None:
        self.source = source

    async def change(self, *changes: Change) -> None:
        await self.source.commit(changes)

    async def first_batch(self, since: int) -> Batch:
        watch = self.source.watch(since)
        try:
            return await anext(watch)
        finally:
            await watch.aclose()


class WritingFiles(Writing):
    """The folder of a FileSource, one file a resource, looked at after each change."""

    def __init__(self, source: FileSource, folder: Path) -> None:
        super().__init__(source)
        self._files, self._folder = source, folder

    async def change(self, *changes: Change) -> None:

        for change in changes:
            if isinstance(change, Put):
                key = resource_id(change.document)
                assert key is not None
                self._path(key).write_bytes(msgspec.json.encode(change.document.body))
            else:
                self._path(change.id).unlink(missing_ok=True)
        await self._files.refresh()

    def _path(self, key: ResourceId) -> Path:
        return self._folder / f"{key.kind}-{key.namespace}-{key.name}.yaml"


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that every test of the session may use; nobody stops it."""
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        yield server
    finally:
        server.remove()


_numbers = count(1)


@pytest.fixture
def database(server: PostgresServer) -> str:
    """The URL of an empty database."""
    name = f"mesh{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    return server.url(name)


Lazily = Callable[[str], str]


@pytest.fixture
def database_of(request: pytest.FixtureRequest) -> Lazily:
    """The URL of an empty database for a source of that kind, where it needs one."""
    return lambda kind: request.getfixturevalue("database") if kind == "postgresql" else ""


@pytest.fixture(params=KINDS)
async def writing(request: pytest.FixtureRequest, tmp_path: Path, database_of: Lazily) -> AsyncIterator[Writing]:
    """Every kind of source in turn, empty."""
    found = await _writing(request.param, tmp_path, database_of(request.param))
    yield found
    await found.source.close()


@pytest.fixture(params=[kind for kind in KINDS if kind != "files"])
async def writable(request: pytest.FixtureRequest, tmp_path: Path, database_of: Lazily) -> AsyncIterator[Source]:
    """Every source that can be committed to, empty."""
    found = await _writing(request.param, tmp_path, database_of(request.param))
    yield found.source
    await found.source.close()


async def _writing(kind: str, folder: Path, database: str) -> Writing:
    if kind == "memory":
        return Writing(MemorySource(history=HISTORY))
    if kind == "store":
        return Writing(await StoreSource.open(folder / "store.sqlite", history=HISTORY))
    if kind == "postgresql":
        return Writing(await PostgresSource.open(database, history=HISTORY))
    return WritingFiles(FileSource(folder), folder)
