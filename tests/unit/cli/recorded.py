"""A control plane that answers from a script: a real HTTP server on a free port, and what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import msgspec

VERSION = {
    "byway": "0.1.0",
    "envoy": "1.40.0",
    "mesh": "demo",
    "trust_domain": "cluster.local",
    "root_namespace": "istio-system",
}


class Asked(msgspec.Struct, frozen=True):
    """One request as it came in."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any


class RecordedControlPlane:
    """`answers` maps a path, with or without its query, to (status, content); bytes are sent as they are, all else as JSON."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, Any]] = {"/api/version": (200, VERSION)}
        self.asked: list[Asked] = []

    @property
    def written(self) -> Asked:
        """The one write that came in."""
        (only,) = [asked for asked in self.asked if asked.method == "POST"]
        return only

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        self.asked.append(asked)
        path = next((p for p in (f"{asked.path}?{asked.query}", asked.path) if p in self.answers), "")
        status, content = self.answers.get(path, (404, {"error": f"no such path {asked.path}"}))
        return status, content if isinstance(content, bytes) else json.dumps(content).encode()


@contextmanager
def recorded_control_plane() -> Iterator[RecordedControlPlane]:
    """The server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            path, _, query = self.path.partition("?")
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(content) if content else None
            status, answer = control_plane.answer(Asked(self.command, unquote(path), query, headers, body))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = _respond  # noqa: N815 the names are http.server's

        def log_message(self, *_: object) -> None:
            """The tests look at what was asked, not at a log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    control_plane = RecordedControlPlane(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield control_plane
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
