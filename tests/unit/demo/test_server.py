"""What every service does around its own code."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from byway.demo.connections import Address, Connections, Reply
from byway.demo.exchange import Answer, DeclinedError, Identity, Request, Route, json_answer
from byway.demo.peers import Peers
from byway.demo.server import Application, Server


class Rooms:
    """A service of this test's own."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "GET", "/rooms/{room}", lambda request: json_answer({"room": request.parts["room"], **request.query})
            ),
            Route("POST", "/rooms", lambda request: json_answer({"said": request.text("say")}, 201)),
            Route("GET", "/waiting", self._wait),
            Route("GET", "/broken", lambda request: json_answer({"missing": request.parts["nothing"]})),
            Route("GET", "/asking", lambda request: json_answer(request.call("nobody", "GET", "/"))),
            Route("GET", "/declined", self._decline),
        )

    def _wait(self, request: Request) -> Answer:
        self.entered.set()
        self.leave.wait(10)
        return json_answer({"waited": True})

    def _decline(self, request: Request) -> Answer:
        raise DeclinedError(429, "too often")


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def server(rooms: Rooms) -> Iterator[Server]:
    application = Application(Identity("rooms", "v7", "rooms-3"), rooms, Peers({"nobody"}, _unused_port(), 2.0))
    running = Server(("127.0.0.1", 0), application)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    rooms.leave.set()
    running.shutdown()
    thread.join(10)
    running.server_close()


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(server: Server, method: str, path: str, body: bytes | None = None) -> Reply:
    pool = Connections()
    try:
        return pool.exchange(Address("127.0.0.1", server.server_port), method, path, {}, body, 10)
    finally:
        pool.close()


def raw(server: Server, text: bytes) -> bytes:
    """What the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_version_and_health_are_told(server: Server) -> None:
    assert json.loads(ask(server, "GET", "/version").content) == {
        "service": "rooms",
        "version": "v7",
        "instance": "rooms-3",
    }
    assert ask(server, "GET", "/healthz").status == 200


def test_parts_of_the_path_and_the_query_are_decoded(server: Server) -> None:
    assert json.loads(ask(server, "GET", "/rooms/a%2Fb?light=on%21").content) == {"room": "a/b", "light": "on!"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/rooms/a", None, 405),
        ("POST", "/rooms", b"{", 400),
        ("POST", "/rooms", b"[]", 400),
        ("POST", "/rooms", b'{"say": 1}', 400),
        ("POST", "/rooms", b'{"say": "hello"}', 201),
        ("POST", "/rooms", b" " * 70_000, 413),
        ("GET", "/declined", None, 429),
        ("GET", "/asking", None, 502),
    ],
)
def test_each_mistake_has_its_status_and_is_signed(
    server: Server, method: str, path: str, body: bytes | None, status: int
) -> None:
    reply = ask(server, method, path, body)
    assert (reply.status, reply.headers["x-served-by"]) == (status, "rooms-3")


def test_a_mistake_in_the_service_is_answered_500_and_shown(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(server, "GET", "/broken").status == 500
    assert "KeyError" in capfd.readouterr().err


def test_head_has_the_headers_of_get_and_no_body(server: Server) -> None:
    answer = raw(server, b"HEAD /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, content = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert (length > 0, content) == (True, b"")


def test_a_body_without_a_length_is_refused_and_the_connection_ends(server: Server) -> None:
    chunked = b"POST /rooms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw(server, chunked).startswith(b"HTTP/1.1 411 ")
    assert raw(server, b"POST /rooms HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    twice = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert raw(server, twice).count(b"HTTP/1.1 200 OK") == 2


def test_the_switch_fails_the_asked_share_by_the_asked_status_until_it_is_turned_back(server: Server) -> None:
    turned = ask(server, "POST", "/admin/behaviour", b'{"fail_rate": 0.3, "status": 503, "seed": 1}')
    assert json.loads(turned.content)["instance"] == "rooms-3"
    statuses = [ask(server, "GET", "/version").status for _ in range(100)]
    assert set(statuses) == {200, 503}
    assert 20 <= statuses.count(503) <= 40
    assert ask(server, "GET", "/healthz").status == 200
    assert ask(server, "DELETE", "/admin/behaviour").status == 200
    assert {ask(server, "GET", "/version").status for _ in range(20)} == {200}


def test_the_switch_refuses_what_it_does_not_understand(server: Server) -> None:
    assert ask(server, "POST", "/admin/behaviour", b'{"fail_rte": 0.3}').status == 400
    assert ask(server, "GET", "/version").status == 200


def test_draining_waits_for_the_requests_in_flight(server: Server, rooms: Rooms) -> None:
    replies: list[Reply] = []
    visitor = threading.Thread(target=lambda: replies.append(ask(server, "GET", "/waiting")))
    visitor.start()
    assert rooms.entered.wait(10)
    assert not server.drained(0.01)
    rooms.leave.set()
    assert server.drained(10)
    visitor.join(10)
    assert [reply.status for reply in replies] == [200]
