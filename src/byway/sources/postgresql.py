"""PostgreSQL: a source that several control planes share, each at the same documents.

One connection does the work, in the order in which it was asked for; the queue before it is bounded. A second one
listens, and rings the bell of the watchers at each commit, whoever made it; a look every few seconds is the net under it.
Both are opened again, after growing pauses, when the server goes away. Meanwhile reading and writing is refused in
one line, and watchers wait.

Passwords come by the URL, by PGPASSFILE or by the environment, as libpq reads them, and are never said again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from byway.base.errors import UsageError
from byway.sources import tables
from byway.sources.client_log import relay_client_log
from byway.sources.errors import StoreFault
from byway.sources.history import Bell
from byway.sources.source import HISTORY, Batch, Change, Snapshot
from byway.sources.tables import Commit, Connection, Limits, Owner

T = TypeVar("T")
MAX_BYTES: Final = 1024**3
_MAX_WAITING: Final = 64
_BATCHES_AT_ONCE: Final = 16
_MAX_TOKENS: Final = 256
_LIMIT_S: Final = 15.0
_LOOK_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_UNKNOWN: Final = "whether the change was stored is not known: see `byway get` when it is back"
_UNCHANGED: Final = "nothing was changed"
_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "byway",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "target_session_attrs": "read-write",
}
"""A server that is gone without a word is found out; of several hosts in a URL the one that may be written is taken."""
_log = structlog.get_logger("byway.store")


class PostgresSource:
    """A `Source` in a PostgreSQL database; make it with `open`, within the event loop that uses it."""

    def __init__(self, parameters: dict[str, Any], limits: Limits) -> None:
        self._parameters = {**_DEFAULTS, **parameters}
        self._limits = limits
        self.name = _name(parameters)
        self.unread_since: datetime | None = None
        """When it could no longer be followed, though its server may be there; None while it is."""
        self._tokens: dict[int, str] = {}
        self._bell = Bell()
        self._turn = asyncio.Lock()
        self._n_waiting = 0
        self._connection: Connection | None = None
        self._works: set[asyncio.Task[Any]] = set()
        self._listening: asyncio.Task[None] | None = None
        self.away_since: datetime | None = None
        """When the server went away, as whoever listens found; None while it is there."""

    @classmethod
    async def open(cls, url: str, *, max_bytes: int = MAX_BYTES, history: int = HISTORY) -> PostgresSource:
        """The store at `url`, its tables made if they are not there; `StoreFault` if it cannot be used."""
        relay_client_log()
        source = cls(_parameters(url), Limits(max_bytes, history))
        try:
            await source._done(tables.root)
        except BaseException:
            await source.close()
            raise
        source._listening = asyncio.create_task(source._listen(), name="store")
        return source

    async def load(self) -> Snapshot:
        """Everything, at the current revision."""
        snapshot, token = await self._done(tables.load)
        self._tokens.clear()
        self._remember(snapshot.revision, token)
        return snapshot

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Make the changes in one step; see `Source.commit`. One that was begun is finished though its caller be gone."""
        wanted = Commit(changes=tuple(changes), expected=expected, token=str(uuid.uuid4()))
        work = asyncio.create_task(self._committed(wanted))
        self._works.add(work)
        work.add_done_callback(self._settle)
        return await asyncio.shield(work)

    async def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """Every commit after `since`; see `Source.watch`. While the server is away it waits."""
        while not self._bell.is_closed:
            heard = self._bell.heard()
            batches = await self._batches_after(since)
            for batch in batches:
                yield batch
                since = batch.revision
            if not batches and not self._bell.is_closed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), 2 * _LONGEST_PAUSE_S)

    async def root(self) -> str:
        """The fingerprint of the mesh's root, "" where none has been claimed."""
        return await self._done(tables.root)

    async def claim(self, mesh: str, own: str, believed: Sequence[str]) -> Owner | None:
        """Binds the store to `mesh` and its root `own`; the owner that it has, where that is another: see `tables.claim`."""
        return await self._done(partial(tables.claim, mesh=mesh, own=own, believed=believed))

    async def close(self) -> None:
        """Finish what was begun, then let go of the server; watchers end."""
        if self._bell.is_closed:
            return
        self._bell.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._works:
            await asyncio.wait(self._works, timeout=_LIMIT_S)
        async with self._turn:
            await self._drop()

    # --- what others commit ---

    async def _batches_after(self, since: int) -> tuple[Batch, ...]:
        """The next batches; none while the store cannot be read, which is said once, and shown."""
        known = dict(self._tokens)
        work = partial(tables.batches_after, since=since, limit=_BATCHES_AT_ONCE, known=known)
        try:
            found = await self._done(work)
        except StoreFault as fault:
            if not (self.away_since or self.unread_since or self._bell.is_closed):
                _log.warning("store cannot be followed; what runs stays as it is", store=self.name, reason=str(fault))
            self.unread_since = self.unread_since or datetime.now(UTC)
            return ()
        if self.unread_since:
            _log.info("store is followed again", store=self.name)
        self.unread_since = None
        for batch, token in found:
            self._remember(batch.revision, token)
        return tuple(batch for batch, _ in found)

    def _remember(self, revision: int, token: str) -> None:
        """Which commit made a revision, for some of the latest: so another history is found out."""
        if token:
            self._tokens.pop(revision, None)
            self._tokens[revision] = token
        while len(self._tokens) > _MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]

    # --- work, one after another ---

    async def _committed(self, wanted: Commit) -> int:
        """The commit, tried a second time where the server went away under it; its token tells what became of the first."""
        doubt = asyncio.Event()
        work = partial(tables.commit, limits=self._limits, made=doubt.set)
        try:
            revision = await self._done(partial(work, wanted=wanted), is_write=True)
            if doubt.is_set():  # it had an effect, so the revision is its own
                self._remember(revision, wanted.token)
            return revision
        except _Lost:
            again = msgspec.structs.replace(wanted, is_repeated=True)
        except StoreFault as fault:
            raise StoreFault(f"{fault}; {_UNCHANGED}") from fault
        try:
            return await self._done(partial(work, wanted=again), is_write=True)
        except StoreFault as fault:
            raise StoreFault(f"{fault}; {_UNKNOWN if doubt.is_set() else _UNCHANGED}") from fault

    async def _done(self, work: Callable[[Connection], Awaitable[T]], *, is_write: bool = False) -> T:
        """The result of `work`. Reading is tried again on a new connection where the old one turns out to be dead."""
        if self._bell.is_closed:
            raise StoreFault("the store is closed: open it again")
        if self._n_waiting >= _MAX_WAITING:
            raise StoreFault(f"{_MAX_WAITING} requests wait for the store already: try again in a moment")
        self._n_waiting += 1
        try:
            async with self._turn:
                try:
                    return await self._worked(work)
                except _Lost:
                    if is_write:
                        raise
                return await self._worked(work)
        finally:
            self._n_waiting -= 1

    async def _worked(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The result of `work`; whatever is wrong with the server is a `StoreFault` of one line."""
        is_done = False
        try:
            async with asyncio.timeout(_LIMIT_S):
                connection = self._connection or await self._connected()
                result = await work(connection)
            is_done = True
            return result
        except (psycopg.OperationalError, psycopg.InterfaceError) as fault:
            is_lost = self._connection is not None and self._connection.closed
            raise (_Lost if is_lost else StoreFault)(f"{self.name}: {_reason(fault)}") from fault
        except psycopg.Error as fault:
            raise StoreFault(f"{self.name}: {_reason(fault)}") from fault
        except msgspec.MsgspecError as fault:
            raise StoreFault(f"{self.name}: it holds what Byway did not write: restore it from a backup") from fault
        except TimeoutError as fault:
            raise _Lost(f"{self.name}: no answer in {_LIMIT_S:g} s: look at the server, and try again") from fault
        finally:
            is_usable = self._connection is not None and not self._connection.closed
            if not is_done and not (is_usable and _is_idle(self._connection)):
                await self._drop()

    async def _connected(self) -> Connection:
        connection = await self._opened()
        try:
            await tables.prepare(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _opened(self) -> Connection:
        return await AsyncConnection.connect(**self._parameters, autocommit=True)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _settle(self, work: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # its caller has it, or is gone

    # --- the bell ---

    async def _listen(self) -> None:
        """Rings at every commit, every few seconds, and where there is hope again; never ends by itself."""
        pause_s = 0.0
        while True:
            try:
                connection = await self._opened()
                async with connection:
                    await connection.execute(f"LISTEN {tables.CHANNEL}".encode())
                    if self.away_since:
                        _log.info("store is back", store=self.name)
                    pause_s, self.away_since = 0.0, None
                    await self._ringing(connection)
            except psycopg.Error as fault:
                if not self.away_since:
                    _log.warning("store is away; what runs stays as it is", store=self.name, reason=_reason(fault))
                self.away_since = self.away_since or datetime.now(UTC)
            except Exception:  # noqa: BLE001 - without a bell watchers would only look, and late
                _log.exception("listening failed", store=self.name)
            pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            self._bell.ring()

    async def _ringing(self, connection: Connection) -> None:
        while True:
            self._bell.ring()
            async for _ in connection.notifies(timeout=_LOOK_S, stop_after=1):
                break


class _Lost(StoreFault):
    """The connection broke under the work."""


def _parameters(url: str) -> dict[str, Any]:
    """What libpq understands of the URL; `UsageError`, without a word of it, where it is none."""
    try:
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("another scheme")
        found = {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
        # What is not percent-encoded in a password ends up in the parts behind it, and those are said in messages.
        if "@" in f"{found.get('host', '')}{found.get('dbname', '')}" or not _is_port(str(found.get("port", ""))):
            raise ValueError("a part of the password where it does not belong")
        return found
    except (psycopg.Error, ValueError):
        # The reason could quote a part of the password.
        raise UsageError(
            "the store's URL is not postgresql://[USER@]HOST[:PORT]/DATABASE (percent-encode what is special in it; "
            "passwords are better kept in PGPASSFILE)"
        ) from None


def _is_port(text: str) -> bool:
    """Whether it is a port, or one for each of several hosts; "" is the usual one."""
    return all(not part or (part.isascii() and part.isdigit()) for part in text.split(","))


def _name(parameters: dict[str, Any]) -> str:
    """The store in words: where it is, and nothing of who enters."""
    host, port = parameters.get("host", ""), parameters.get("port", "")
    return f"store postgresql://{host}{f':{port}' if port else ''}/{parameters.get('dbname', '')}"


def _is_idle(connection: Connection | None) -> bool:
    return connection is not None and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def _reason(fault: psycopg.Error) -> str:
    """The server's or libpq's own words, on one line."""
    text = fault.diag.message_primary or str(fault) or type(fault).__name__
    words = " ".join(line.strip() for line in text.splitlines() if not line.strip().startswith("Is the server running"))
    match fault:
        case psycopg.errors.InsufficientPrivilege():
            return f"{words}: grant its user the right to make and write tables"
        case psycopg.errors.DiskFull():
            return f"{words}: free some space and try again"
        case psycopg.errors.ReadOnlySqlTransaction():
            return f"{words}: name the server that may be written"
        case psycopg.errors.QueryCanceled() | psycopg.errors.LockNotAvailable():
            return f"{words}: the server is too busy, try again in a moment"
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return f"{words}: see that the server runs and lets this host in"
    return words
