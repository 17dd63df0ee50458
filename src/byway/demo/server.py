"""The HTTP side of a service, over the standard library's threading server.

What every service has besides its own routes: `/version`, `/healthz`, the failure switch `/admin/behaviour`, and
`x-served-by` on all its answers. A failed dependency is answered 502 (504 where it was too slow), never with a guess.
"""

from __future__ import annotations

import http.server
import re
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

from byway.demo.behaviour import Behaviour, Switch, behaviour
from byway.demo.exchange import Answer, DeclinedError, Identity, Request, Route, Service, json_answer, pattern
from byway.demo.peers import DependencyError, Peers

_MOST_BODY_BYTES: Final = 1 << 16
_MOST_CONNECTIONS: Final = 256
_SWITCH: Final = "/admin/behaviour"
_HEALTH: Final = "/healthz"


class Application:
    """A service's code with what every service has around it; knows no socket."""

    def __init__(self, identity: Identity, service: Service, peers: Peers) -> None:
        self.identity = identity
        self._peers = peers
        self._switch = Switch()
        every = (
            Route("GET", "/version", lambda request: json_answer(identity._asdict())),
            Route("GET", _HEALTH, lambda request: json_answer({"status": "ok"})),
            Route("GET", _SWITCH, lambda request: self._shown(self._switch.behaviour(time.monotonic()))),
            Route("POST", _SWITCH, self._turned),
            Route("DELETE", _SWITCH, lambda request: self._turned_to(Behaviour())),
        )
        routes = (*every, *service.routes())
        self._routes: Sequence[tuple[re.Pattern[str], Route]] = [(pattern(route.path), route) for route in routes]

    def answer(self, method: str, target: str, headers: dict[str, str], client: str, content: bytes) -> Answer:
        """What to answer; whatever fails becomes an honest status."""
        url = urllib.parse.urlsplit(target)
        if url.path not in (_SWITCH, _HEALTH):
            verdict = self._switch.verdict(time.monotonic())
            time.sleep(verdict.delay_s)
            if verdict.status:
                return json_answer({"error": f"told to fail at {_SWITCH}"}, verdict.status)
        found = self._found(method, url.path)
        if isinstance(found, Answer):
            return found
        route, parts = found
        query = dict(urllib.parse.parse_qsl(url.query, max_num_fields=20))
        request = Request(self._peers, self.identity, headers, client, parts, query, content)
        try:
            return route.action(request)
        except DeclinedError as fault:
            return json_answer({"error": str(fault)}, fault.status)
        except DependencyError as fault:
            return json_answer({"error": fault.reason, "dependency": fault.callee}, fault.status)
        except Exception:  # noqa: BLE001 - a mistake in a service: shown on its own side, and never left unanswered
            traceback.print_exc()
            return json_answer({"error": "this service failed"}, 500)

    def _found(self, method: str, path: str) -> tuple[Route, dict[str, str]] | Answer:
        wanted = "GET" if method == "HEAD" else method
        is_known = False
        for shape, route in self._routes:
            if match := shape.fullmatch(path):
                if route.method == wanted:
                    return route, {name: urllib.parse.unquote(part) for name, part in match.groupdict().items()}
                is_known = True
        return json_answer({"error": "no such method here" if is_known else "no such page"}, 405 if is_known else 404)

    def _turned(self, request: Request) -> Answer:
        asked = behaviour(request.body())
        if isinstance(asked, str):
            raise DeclinedError(400, asked)
        return self._turned_to(asked)

    def _turned_to(self, asked: Behaviour) -> Answer:
        self._switch.turn(asked, time.monotonic())
        return self._shown(asked)

    def _shown(self, asked: Behaviour) -> Answer:
        return json_answer({**asked._asdict(), "instance": self.identity.instance})


class Server(http.server.ThreadingHTTPServer):
    """Listens for one application; a thread a connection, up to a limit."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.application = application
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._in_flight = 0
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name that the standard library adds."""
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection on a thread of its own, or close it when there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads to be had
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The life of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is its own affair; anything else is shown."""
        fault = sys.exc_info()[1]
        if not isinstance(fault, (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def count(self, change: int) -> None:
        """Note that a request began (1) or ended (-1)."""
        with self._changed:
            self._in_flight += change
            self._changed.notify_all()

    def drained(self, within_s: float) -> bool:
        """Wait until no request is in flight; False where that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._in_flight == 0, within_s)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "byway-demo"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # status, headers and body leave in one segment
    timeout = 3_900  # longer than a proxy keeps an idle connection, so that the proxy is who closes it

    def end_headers(self) -> None:
        self.send_header("x-served-by", self.server.application.identity.instance)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: the mesh sees every request, an application need not log them."""

    def exchange(self) -> None:
        """Read the request's body, and send the answer."""
        self.server.count(1)
        try:
            content = self._content()
            if content is None:
                return
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                key = name.lower()
                headers[key] = f"{headers[key]},{value}" if key in headers else value
            answer = self.server.application.answer(
                self.command, self.path, headers, str(self.client_address[0]), content
            )
            self._send(answer)
        finally:
            self.server.count(-1)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = exchange  # noqa: N815 - the standard library's names

    def _content(self) -> bytes | None:
        """The request's body; None where it was refused."""
        if "transfer-encoding" in self.headers:
            self._refuse(411)
            return None
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            self._refuse(400)
            return None
        if int(length) > _MOST_BODY_BYTES:
            self._refuse(413)
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: int) -> None:
        """Answer, and end the connection: the body stays unread."""
        self.close_connection = True
        self.send_error(status)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.content)))
        if answer.location:
            self.send_header("Location", answer.location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)
        self.wfile.flush()


def listening(server: Server) -> str:
    """Where the server listens."""
    host, port = server.server_address[:2]
    return f"{host!s}:{port}"
