"""Database: the store's SQLite file, as seen by the one thread that owns it.

Every commit is one transaction in a write-ahead log that is flushed to the disk before the commit returns
(`synchronous=FULL`), so a crash at any point leaves either the whole commit or nothing. The file is locked for this
process alone: two control planes on one store would not see each other's commits. Its size is bounded, and so is the
history for watchers.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from byway.kinds.document import Document, document_json
from byway.kinds.resource import ResourceId
from byway.sources import damage
from byway.sources.admission import addresses, admitted, identified
from byway.sources.errors import RevisionConflict, RevisionGone, StoreFault
from byway.sources.source import HISTORY, Batch, Change, Put, Snapshot

MAX_BYTES: Final = 1024**3
_MAX_HISTORY_BYTES: Final = 64 * 1024**2
_PAGE_BYTES: Final = 4096
_FORMAT: Final = 1
_BUSY_S: Final = 2.0
_SCHEMA: Final = """
CREATE TABLE resources (
  kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, document BLOB NOT NULL,
  PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE commits (revision INTEGER PRIMARY KEY, batch BLOB NOT NULL);
CREATE TABLE state (revision INTEGER NOT NULL);
INSERT INTO state VALUES (0);
"""
_NEXT_STEPS: Final = {
    sqlite3.SQLITE_FULL: "the disk, or the store's own limit, is full: free some space and try again",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the owner and the mount of its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_PERM: "it cannot be opened: check its owner and its permissions",
    sqlite3.SQLITE_NOTADB: "it is no store: restore it from a backup, or move it away to begin anew",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a backup, or move it away to begin anew",
    sqlite3.SQLITE_BUSY: "another process uses it: stop the other control plane, or give this one its own state folder",
    sqlite3.SQLITE_IOERR: "the disk failed: look at the system's log, and try again when it is mended",
}


class Database:
    """The open file. A method either does all it says or raises, with the file as before."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, history: int = HISTORY) -> None:
        self._path = path
        self._history = history
        with self._faults():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            with self._faults():
                self._prepare(max_bytes)
                query = "SELECT document FROM resources WHERE kind = 'Service' ORDER BY namespace, name"
                services = self._connection.execute(query)
                self._addresses = addresses(damage.readable(row[0] for row in services))
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, max_bytes: int) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(f"PRAGMA max_page_count={max_bytes // _PAGE_BYTES}")
        with self._transaction():
            version = self._number("PRAGMA user_version")
            if version == 0 and self._number("SELECT count(*) FROM sqlite_schema") == 0:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={_FORMAT}")
            elif version != _FORMAT:
                raise StoreFault(f"{self._path}: its format is {version}, not {_FORMAT}: use the Byway that wrote it")
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreFault(f"{self._path}: {_NEXT_STEPS[sqlite3.SQLITE_CORRUPT]}")

    def load(self) -> Snapshot:
        """Everything, at the current revision."""
        with self._faults():
            revision = self._revision()
            query = "SELECT kind, namespace, name, document FROM resources ORDER BY kind, namespace, name"
            rows = self._connection.execute(query)
            return damage.snapshot(revision, ((ResourceId(*row[:3]), row[3]) for row in rows))

    def commit(self, changes: Sequence[Change], expected: int | None) -> int:
        """Make the changes in one transaction; the revision afterwards."""
        with self._faults(), self._transaction():
            revision = self._revision()
            if expected is not None and expected != revision:
                raise RevisionConflict(expected, revision)
            admission = admitted(changes, self._addresses)
            effective = [change for change in admission.changes if self._change(change)]
            if effective:
                revision += 1
                batch = msgspec.json.encode(Batch(revision, tuple(effective)))
                self._connection.execute("INSERT INTO commits VALUES (?, ?)", (revision, batch))
                self._connection.execute("UPDATE state SET revision = ?", (revision,))
                self._prune(revision)
        self._addresses = admission.addresses
        return revision

    def batches_after(self, since: int, limit: int) -> tuple[Batch, ...]:
        """Up to `limit` batches after `since`, in order."""
        with self._faults():
            revision = self._revision()
            first = self._number("SELECT coalesce(min(revision), ?) FROM commits", revision + 1)
            if not first - 1 <= since <= revision:
                raise RevisionGone(since)
            query = "SELECT batch FROM commits WHERE revision > ? ORDER BY revision LIMIT ?"
            rows = self._connection.execute(query, (since, limit)).fetchall()
            return damage.batches(since, (row[0] for row in rows))

    def close(self) -> None:
        """Bring the log into the file and let go of it."""
        with self._faults():
            self._connection.close()

    def _revision(self) -> int:
        return self._number("SELECT revision FROM state")

    def _number(self, query: str, *arguments: int) -> int:
        return int(self._connection.execute(query, arguments).fetchone()[0])

    def _change(self, change: Change) -> bool:
        """Make one change; whether it had any effect."""
        if isinstance(change, Put):
            return self._put(identified(change.document), change.document)
        key = (change.id.kind, change.id.namespace, change.id.name)
        query = "DELETE FROM resources WHERE kind = ? AND namespace = ? AND name = ?"
        return self._connection.execute(query, key).rowcount > 0

    def _put(self, identifier: ResourceId, document: Document) -> bool:
        key = (identifier.kind, identifier.namespace, identifier.name)
        query = "SELECT document FROM resources WHERE kind = ? AND namespace = ? AND name = ?"
        row = self._connection.execute(query, key).fetchone()
        content = document_json(document)
        if row is not None and row[0] == content:
            return False
        self._connection.execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?)", (*key, content))
        return True

    def _prune(self, revision: int) -> None:
        """Forget what is too old, or too much, for watchers; the newest commit always stays."""
        totals = "SELECT revision, sum(length(batch)) OVER (ORDER BY revision DESC) AS total FROM commits"
        query = f"SELECT coalesce(max(revision), 0) FROM ({totals}) WHERE total > ?"  # noqa: S608 - a constant
        oldest = max(self._number(query, _MAX_HISTORY_BYTES), revision - self._history)
        self._connection.execute("DELETE FROM commits WHERE revision <= ? AND revision < ?", (oldest, revision))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Errors of SQLite and of the disk as one line with the next step."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise StoreFault(f"{self._path}: {_NEXT_STEPS.get(code, str(error))}") from error
        except msgspec.MsgspecError as error:
            raise StoreFault(f"{self._path}: {_NEXT_STEPS[sqlite3.SQLITE_CORRUPT]}") from error
        except OSError as error:
            raise StoreFault(
                f"{self._path}: {error.strerror}: check that its folder exists and may be written"
            ) from error
