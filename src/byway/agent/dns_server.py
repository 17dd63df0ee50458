"""The DNS server: a process of its own for all namespaces of a host, so that names resolve while the agent restarts.

It inherits its sockets in each namespace (127.0.0.1:15053) from the agent, gives up its privileges, and serves. The
agent supervises it like an Envoy, and hands it the name table as a file in its working directory, looked at with every
query: no connection between the two can break.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import dns.rcode
import msgspec

from byway.agent import dns as answers
from byway.agent.dns_sockets import Pair, inherited
from byway.base.json import decoded
from byway.model.names import PORT_DNS

NAMES_FILE: Final = "names.json"
READY_FILE: Final = "ready"
_FORWARD_LIMIT: Final = 256
_FORWARD_TIMEOUT_S: Final = 1.5
_CONNECTION_LIMIT: Final = 256
_IDLE_S: Final = 10.0
_RESOLV_CONF: Final = Path("/etc/resolv.conf")


class Served(msgspec.Struct, frozen=True):
    """One network namespace, and the mesh namespace that its short names are of."""

    netns: str
    namespace: str


class Duty(msgspec.Struct, frozen=True):
    """What one DNS server is to do."""

    served: tuple[Served, ...]
    user: int | None = None
    port: int = PORT_DNS
    resolvers: tuple[str, ...] = ()  # address:port; empty: those of the host, read at every change of its file


class NameTable:
    """The mesh's names, as the agent last wrote them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] = (0, 0)
        self._names: dict[str, str] = {}

    def names(self) -> dict[str, str]:
        """The table; an unreadable file leaves the last good one in force."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_ino) != self._seen:
                self._names = decoded(self._path.read_bytes(), dict[str, str])
                self._seen = (status.st_mtime_ns, status.st_ino)
        return self._names


class Forwarder:
    """Asks the host's resolvers, one after the other, within bounds."""

    def __init__(self, resolvers: tuple[str, ...]) -> None:
        self._fixed = resolvers
        self._slots = asyncio.Semaphore(_FORWARD_LIMIT)

    async def answer(self, packet: bytes, *, is_datagram: bool) -> bytes | None:
        """A resolver's answer to the query `packet`; None where none came in time or too many are waiting."""
        if self._slots.locked():
            return None
        async with self._slots:
            for host, port in self._resolvers():
                try:
                    async with asyncio.timeout(_FORWARD_TIMEOUT_S):
                        asked = _by_datagram if is_datagram else _by_stream
                        return await asked(packet, host, port)
                except (TimeoutError, OSError, asyncio.IncompleteReadError):
                    continue
        return None

    def _resolvers(self) -> list[tuple[str, int]]:
        if self._fixed:
            split = (r.rpartition(":") for r in self._fixed)
            return [(host, int(port)) for host, _, port in split]
        try:
            return [(server, 53) for server in answers.name_servers(_RESOLV_CONF.read_text())]
        except OSError:
            return []


class Responder:
    """Answers the queries of one namespace."""

    def __init__(self, namespace: str, table: NameTable, forwarder: Forwarder) -> None:
        self._namespace = namespace
        self._table = table
        self._forwarder = forwarder

    async def reply(self, packet: bytes, *, is_datagram: bool) -> bytes:
        """The answer to `packet`; empty where there is nothing to say to it."""
        query = answers.question(packet)
        if query is None:
            return answers.malformed(packet)
        local = answers.local_answer(query, self._namespace, self._table.names())
        if local is not None:
            return answers.wire(local, query, is_datagram=is_datagram)
        forwarded = await self._forwarder.answer(packet, is_datagram=is_datagram)
        if forwarded is not None:
            return forwarded
        return answers.wire(answers.refusal(query, dns.rcode.SERVFAIL), query, is_datagram=is_datagram)


class Datagrams(asyncio.DatagramProtocol):
    """The UDP side of one namespace."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answers in a task of its own; more at once than can be forwarded are dropped, as a full socket would."""
        if len(self._tasks) < 2 * _FORWARD_LIMIT:
            task = asyncio.get_running_loop().create_task(self._answer(data, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = await self._responder.reply(data, is_datagram=True)
        if reply and self._transport is not None:
            self._transport.sendto(reply, addr)


class Streams:
    """The TCP side of one namespace."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._n_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers query after query until the client has nothing more to ask."""
        self._n_connections += 1
        try:
            while self._n_connections <= _CONNECTION_LIMIT:
                async with asyncio.timeout(_IDLE_S):
                    packet = await _read_framed(reader)
                reply = await self._responder.reply(packet, is_datagram=False)
                if not reply:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                async with asyncio.timeout(_IDLE_S):
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._n_connections -= 1
            writer.close()


async def serve(duty: Duty, directory: Path, sockets: Sequence[Pair]) -> None:
    """Serves until cancelled, on the `sockets` of each namespace that the duty names."""
    if duty.user is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(duty.user, duty.user, duty.user)
        os.setresuid(duty.user, duty.user, duty.user)
    loop = asyncio.get_running_loop()
    table, forwarder = NameTable(directory / NAMES_FILE), Forwarder(duty.resolvers)
    async with contextlib.AsyncExitStack() as stack:
        for served, (datagrams, streams) in zip(duty.served, sockets, strict=True):
            responder = Responder(served.namespace, table, forwarder)
            transport, _ = await loop.create_datagram_endpoint(lambda r=responder: Datagrams(r), sock=datagrams)  # type: ignore[misc]
            stack.callback(transport.close)
            server = await asyncio.start_server(Streams(responder).serve, sock=streams)
            stack.callback(server.close)
        (directory / READY_FILE).write_text(str(os.getpid()))
        await asyncio.Event().wait()


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, query: bytes, answer: asyncio.Future[bytes]) -> None:
        self._query = query
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._answer.done() and answers.is_answer_to(data, self._query):
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def _by_datagram(packet: bytes, host: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Reply(packet, answer), remote_addr=(host, port))
    try:
        transport.sendto(packet)
        return await answer
    finally:
        transport.close()


async def _by_stream(packet: bytes, host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack("!H", len(packet)) + packet)
        return await _read_framed(reader)
    finally:
        writer.close()


async def _read_framed(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


def main() -> None:
    """Serves what the first argument describes, in the working directory."""
    duty = decoded(sys.argv[1], Duty)
    sockets = inherited(len(duty.served))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(duty, Path(), sockets))  # relative: the directories above are closed to its user


if __name__ == "__main__":
    main()
