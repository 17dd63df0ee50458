"""Tables: what a PostgreSQL database keeps of a mesh, and each transaction on it.

Whoever commits locks the one row of `byway_state` first, so commits of any number of control planes happen one after
another, each seeing all before it. Every commit carries a token: one whose answer was lost is tried again, and finds by
the token whether it had been made. Documents are kept as the bytes that were written, so that the same is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog
from psycopg import AsyncConnection

from byway.kinds.document import document_json
from byway.kinds.resource import ResourceId
from byway.sources import damage
from byway.sources.admission import Admitted, admitted, identified
from byway.sources.errors import RevisionConflict, RevisionGone, StoreFault
from byway.sources.source import Batch, Change, Put, Remove, Snapshot

CHANNEL: Final = "byway"
_log = structlog.get_logger("byway.store")
MAX_COMMIT_BYTES: Final = 64 * 1024**2
_MAX_HISTORY_BYTES: Final = 64 * 1024**2
_FORMAT: Final = 1
_SETTING_UP: Final = 0x62797761  # the advisory lock of whoever makes the tables
_SCHEMA: Final = """
CREATE TABLE byway_resources (
  kind text COLLATE "C" NOT NULL, namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  address text NOT NULL, document bytea NOT NULL, PRIMARY KEY (kind, namespace, name)
);
CREATE TABLE byway_commits (revision bigint PRIMARY KEY, token uuid NOT NULL UNIQUE, batch bytea NOT NULL);
CREATE TABLE byway_state (format integer NOT NULL, revision bigint NOT NULL, root text NOT NULL,
  mesh text NOT NULL DEFAULT '');
"""
_HAS_MESH: Final = """
SELECT count(*) FROM pg_attribute WHERE attrelid = 'byway_state'::regclass AND attname = 'mesh' AND NOT attisdropped
"""
"""Stores that were made before they were bound to a mesh's name lack the column."""
_SETTINGS: Final = """
SELECT set_config('statement_timeout', '10s', false), set_config('lock_timeout', '5s', false),
  set_config('idle_in_transaction_session_timeout', '30s', false), set_config('client_min_messages', 'error', false),
  set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
    ELSE current_setting('synchronous_commit') END, false)
"""
"""Nothing waits for ever, and an answer means that it is on the disk, whatever the server's default is."""

_PUT: Final = """
INSERT INTO byway_resources (kind, namespace, name, address, document)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[])
ON CONFLICT (kind, namespace, name) DO UPDATE SET document = excluded.document, address = excluded.address
WHERE byway_resources.document <> excluded.document
RETURNING kind, namespace, name
"""
_REMOVE: Final = """
DELETE FROM byway_resources USING unnest(%s::text[], %s::text[], %s::text[]) AS gone (kind, namespace, name)
WHERE (byway_resources.kind, byway_resources.namespace, byway_resources.name) = (gone.kind, gone.namespace, gone.name)
RETURNING gone.kind, gone.namespace, gone.name
"""
_PRUNE: Final = """
DELETE FROM byway_commits WHERE revision < %(revision)s AND (revision <= %(revision)s - %(history)s OR revision <= (
  SELECT coalesce(max(revision), 0) FROM (
    SELECT revision, sum(octet_length(batch)) OVER (ORDER BY revision DESC) AS total FROM byway_commits
  ) AS totals WHERE total > %(most)s))
"""

Connection = AsyncConnection[tuple[object, ...]]


class Limits(msgspec.Struct, frozen=True):
    """How much may be kept: bytes of documents, and revisions for watchers."""

    max_bytes: int
    history: int


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be committed; `is_repeated` where it may have been made already."""

    changes: tuple[Change, ...]
    expected: int | None
    token: str
    is_repeated: bool = False


class Owner(msgspec.Struct, frozen=True):
    """Whose a store is: the mesh's name, and the fingerprint of its root."""

    mesh: str
    root: str


async def prepare(connection: Connection) -> None:
    """Makes the session safe, and the tables where they are not there."""
    async with connection.transaction():
        await connection.execute(_SETTINGS)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETTING_UP,))
        if await _value(connection, "SELECT to_regclass('byway_state')::text") is None:
            await connection.execute(_SCHEMA)
            await connection.execute("INSERT INTO byway_state VALUES (%s, 0, '')", (_FORMAT,))
        if not await _value(connection, _HAS_MESH):
            await connection.execute("ALTER TABLE byway_state ADD COLUMN mesh text NOT NULL DEFAULT ''")
        found = await _value(connection, "SELECT format FROM byway_state")
        if found != _FORMAT:
            raise StoreFault(f"the store's format is {found}, not {_FORMAT}: use the Byway that wrote it")


async def load(connection: Connection) -> tuple[Snapshot, str]:
    """Everything, at the current revision, and the token of the commit that made it ("": it is not kept)."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        revision = await _revision(connection)
        token = await _token(connection, revision)
        cursor = connection.cursor(binary=True)
        query = "SELECT kind, namespace, name, document FROM byway_resources ORDER BY kind, namespace, name"
        await cursor.execute(query)
        rows = await cursor.fetchall()
    keyed = ((ResourceId(str(row[0]), str(row[1]), str(row[2])), _bytes(row[3])) for row in rows)
    return await asyncio.to_thread(damage.snapshot, revision, keyed), token


async def commit(connection: Connection, wanted: Commit, limits: Limits, made: Callable[[], None]) -> int:
    """Make the changes in one transaction; the revision afterwards. `made` is called once nothing but COMMIT is left."""
    async with connection.transaction():
        revision = await _revision(connection, is_locked=True)
        if wanted.is_repeated:
            earlier = await _value(connection, "SELECT revision FROM byway_commits WHERE token = %s", wanted.token)
            if isinstance(earlier, int):
                return earlier
        if wanted.expected is not None and wanted.expected != revision:
            raise RevisionConflict(wanted.expected, revision)
        admission = await asyncio.to_thread(admitted, wanted.changes, await _addresses(connection, wanted.changes))
        effective = await _changed(connection, admission)
        if not effective:
            return revision
        revision += 1
        await _check_size(connection, limits.max_bytes)
        batch = await asyncio.to_thread(msgspec.json.encode, Batch(revision, effective))
        if len(batch) > MAX_COMMIT_BYTES:
            raise StoreFault(f"the change has {len(batch)} bytes, more than {MAX_COMMIT_BYTES}: make it in parts")
        await connection.execute("INSERT INTO byway_commits VALUES (%s, %s, %s)", (revision, wanted.token, batch))
        await connection.execute("UPDATE byway_state SET revision = %s", (revision,))
        await connection.execute(_PRUNE, {"revision": revision, "history": limits.history, "most": _MAX_HISTORY_BYTES})
        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(revision)))
        made()
    return revision


async def batches_after(
    connection: Connection, since: int, limit: int, known: Mapping[int, str]
) -> tuple[tuple[Batch, str], ...]:
    """Up to `limit` batches after `since`, in order, each with its token.

    Raises `RevisionGone` where they are not kept, where the next one cannot be read, and where the store has another commit
    than the `known` one at a revision: it was set back, and has gone another way since.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        revision = await _revision(connection)
        first = await _value(connection, "SELECT coalesce(min(revision), %s) FROM byway_commits", revision + 1)
        if not isinstance(first, int) or not first - 1 <= since <= revision:
            raise RevisionGone(since)
        before = await _token(connection, since)
        cursor = connection.cursor(binary=True)
        query = "SELECT revision, token::text, batch FROM byway_commits WHERE revision > %s ORDER BY revision LIMIT %s"
        await cursor.execute(query, (since, limit))
        rows = await cursor.fetchall()
    tokens = {since: before, **{int(str(row[0])): str(row[1]) for row in rows}}
    if any(token and known.get(revision, token) != token for revision, token in tokens.items()):
        _log.warning("store has another history; everything is loaded anew", revision=since)
        raise RevisionGone(since)
    if not rows:
        return ()
    found = await asyncio.to_thread(damage.batches, since, (_bytes(row[2]) for row in rows))
    return tuple((batch, str(row[1])) for batch, row in zip(found, rows, strict=False))


async def root(connection: Connection) -> str:
    """The fingerprint of the root that the mesh in this store believes in, "" where it has none so far."""
    return str(await _value(connection, "SELECT root FROM byway_state"))


async def claim(connection: Connection, mesh: str, own: str, believed: Sequence[str]) -> Owner | None:
    """Binds the store to `mesh` and its root `own`, where it is nobody's or theirs; else returns whose it is.

    A root that is among those `believed` gives way to `own`.
    """
    async with connection.transaction():
        query = """
        UPDATE byway_state SET root = %s, mesh = %s WHERE (root = '' OR root = ANY(%s)) AND mesh IN ('', %s) RETURNING root
        """
        if await (await connection.execute(query, (own, mesh, list(believed), mesh))).fetchone():
            return None
        name = await _value(connection, "SELECT mesh FROM byway_state")
        return Owner(str(name), await root(connection))


async def _revision(connection: Connection, *, is_locked: bool = False) -> int:
    query = "SELECT revision FROM byway_state"
    found = await _value(connection, f"{query} FOR UPDATE" if is_locked else query)
    if not isinstance(found, int):
        raise StoreFault("the store has lost its state: restore it from a backup")
    return found


async def _token(connection: Connection, revision: int) -> str:
    """The token of the commit that made the revision, "" where it is not kept."""
    found = await _value(connection, "SELECT token::text FROM byway_commits WHERE revision = %s", revision)
    return str(found or "")


async def _value(connection: Connection, query: str, *arguments: object) -> object:
    row = await (await connection.execute(query.encode(), arguments)).fetchone()
    return None if row is None else row[0]


async def _addresses(connection: Connection, changes: Sequence[Change]) -> dict[ResourceId, str]:
    """The virtual addresses that are taken, where the changes have to do with any."""
    if not any(_id(change).kind == "Service" for change in changes):
        return {}
    query = "SELECT namespace, name, address FROM byway_resources WHERE kind = 'Service' AND address <> ''"
    rows = await (await connection.execute(query)).fetchall()
    return {ResourceId("Service", str(row[0]), str(row[1])): str(row[2]) for row in rows}


async def _changed(connection: Connection, admission: Admitted) -> tuple[Change, ...]:
    """Make the changes; those that had an effect."""
    puts = {identified(c.document): c.document for c in admission.changes if isinstance(c, Put)}
    removes = [change.id for change in admission.changes if isinstance(change, Remove)]
    touched: set[ResourceId] = set()
    if removes:
        touched |= await _touched(connection, _REMOVE, _columns(removes))
    if puts:
        written = await asyncio.to_thread(lambda: [document_json(document) for document in puts.values()])
        given = [admission.addresses.get(key, "") for key in puts]
        touched |= await _touched(connection, _PUT, (*_columns(list(puts)), given, written))
    return tuple(change for change in admission.changes if _id(change) in touched)


async def _touched(connection: Connection, query: str, columns: Sequence[object]) -> set[ResourceId]:
    rows = await (await connection.execute(query.encode(), columns)).fetchall()
    return {ResourceId(str(row[0]), str(row[1]), str(row[2])) for row in rows}


async def _check_size(connection: Connection, max_bytes: int) -> None:
    total = await _value(connection, "SELECT coalesce(sum(octet_length(document)), 0)::bigint FROM byway_resources")
    if isinstance(total, int) and total > max_bytes:
        raise StoreFault(f"the store's own limit of {max_bytes} bytes is full: remove resources and try again")


def _columns(ids: Sequence[ResourceId]) -> tuple[list[str], list[str], list[str]]:
    return [i.kind for i in ids], [i.namespace for i in ids], [i.name for i in ids]


def _id(change: Change) -> ResourceId:
    return change.id if isinstance(change, Remove) else identified(change.document)


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""
