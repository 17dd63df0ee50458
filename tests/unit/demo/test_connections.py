"""Connections that are kept, lost, refused, and led through a proxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO

import pytest

from byway.demo.connections import Address, Connections
from byway.demo.peers import DependencyError, Peers

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Stub:
    """A server that answers each request by the next of its lines: bytes to send, or None to close without a word."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self.listener.getsockname()[1])
        self.requests: list[bytes] = []
        self.n_connections = 0
        self.answers: list[bytes | None] = []
        self.connection: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.n_connections += 1
            self.connection = connection
            with connection:
                self._converse(connection)

    def hang_up(self) -> None:
        """Close the connection that lies idle; the other side has been told when this returns."""
        assert self.connection is not None
        self.connection.shutdown(socket.SHUT_RDWR)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        stream = connection.makefile("rb")
        while request := _request(stream):
            self.requests.append(request)
            answer = self.answers.pop(0) if self.answers else OK
            if answer is None:
                return
            connection.sendall(answer)
            if b"Connection: close" in answer:
                return


def _request(stream: BinaryIO) -> bytes:
    """One request with its body; nothing where the connection ended."""
    lines: list[bytes] = []
    while (line := stream.readline()) not in (b"", b"\r\n"):
        lines.append(line)
    lengths = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")]
    return b"".join(lines) + stream.read(sum(lengths))


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.listener.close()


@pytest.fixture
def pool() -> Iterator[Connections]:
    connections = Connections()
    yield connections
    connections.close()


def test_one_connection_serves_many_requests(stub: Stub, pool: Connections) -> None:
    for _ in range(5):
        assert pool.exchange(stub.address, "GET", "/", {}, None, 10).content == b"{}"
    assert stub.n_connections == 1


def test_a_connection_that_closed_while_idle_is_not_used_again(stub: Stub, pool: Connections) -> None:
    stub.answers = [OK]
    pool.exchange(stub.address, "POST", "/", {}, b"1", 10)
    stub.hang_up()
    assert pool.exchange(stub.address, "POST", "/", {}, b"2", 10).status == 200
    assert stub.n_connections == 2


def test_an_answer_that_ends_the_connection_is_obeyed(stub: Stub, pool: Connections) -> None:
    stub.answers = [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)]
    for _ in range(2):
        assert pool.exchange(stub.address, "POST", "/", {}, b"x", 10).status == 200
    assert stub.n_connections == 2


def test_a_repeatable_request_lost_on_a_kept_connection_is_sent_again(stub: Stub, pool: Connections) -> None:
    stub.answers = [OK, None, OK]
    for _ in range(2):
        assert pool.exchange(stub.address, "GET", "/", {}, None, 10).status == 200
    assert (stub.n_connections, len(stub.requests)) == (2, 3)


def test_a_request_that_may_have_had_effect_is_never_sent_twice(stub: Stub, pool: Connections) -> None:
    stub.answers = [OK, None, OK]
    pool.exchange(stub.address, "POST", "/", {}, b"x", 10)
    with pytest.raises(ConnectionError):
        pool.exchange(stub.address, "POST", "/", {}, b"x", 10)
    assert len(stub.requests) == 2


def test_through_a_proxy_the_whole_address_is_asked_and_the_host_kept(stub: Stub) -> None:
    pool = Connections(stub.address)
    for host in ("link-store", "geo-service"):
        pool.exchange(Address(host, 8080), "GET", "/links/x?y=1", {}, None, 10)
    pool.close()
    assert stub.n_connections == 1
    assert stub.requests[0].startswith(b"GET http://link-store:8080/links/x?y=1 HTTP/1.1\r\nHost: link-store:8080\r\n")
    assert b"Host: geo-service:8080\r\n" in stub.requests[1]


def dependency_error(stub: Stub, call: Callable[[Peers], object], timeout_s: float = 10) -> DependencyError:
    with closing(Peers({"peer"}, 8080, timeout_s, stub.address)) as peers, pytest.raises(DependencyError) as caught:
        call(peers)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 502, "answered 503"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 502, "answered 403"),
        (None, 502, "RemoteDisconnected"),
        (b"no HTTP at all\r\n\r\n", 502, "BadStatusLine"),
    ],
)
def test_a_dependency_that_fails_is_named_with_the_reason(
    stub: Stub, answer: bytes | None, status: int, reason: str
) -> None:
    stub.answers = [answer]
    fault = dependency_error(stub, lambda peers: peers.call("peer", "GET", "/", None, {}, ()))
    assert (fault.callee, fault.status, fault.reason) == ("peer", status, reason)


def test_a_dependency_that_is_too_slow_is_answered_504() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peers = Peers({"peer"}, silent.getsockname()[1], 0.05, Address("127.0.0.1", silent.getsockname()[1]))
        with pytest.raises(DependencyError) as caught:
            peers.call("peer", "GET", "/", None, {}, ())
    assert caught.value.status == 504


def test_an_expected_status_is_no_failure(stub: Stub) -> None:
    stub.answers = [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
    with closing(Peers({"peer"}, 8080, 10, stub.address)) as peers:
        assert peers.call("peer", "GET", "/", None, {}, (404,)).status == 404
