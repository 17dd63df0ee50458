"""The fleet as real processes on loopback ports, calling one another by name through a forward proxy of the test's own."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import re
import select
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from byway.demo import graph
from byway.demo.connections import Address, Connections, Reply
from byway.demo.exchange import pattern

_START_S = 30.0
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class Seen(NamedTuple):
    """A call that went through the proxy; `served` is the request that the caller was answering then."""

    caller: str
    served: str
    callee: str
    headers: dict[str, str]


class Proxy(http.server.ThreadingHTTPServer):
    """The forward proxy of one caller: whoever uses this port is that service."""

    daemon_threads = True

    def __init__(self, caller: str, fleet: Fleet) -> None:
        self.caller = caller
        self.fleet = fleet
        super().__init__(("127.0.0.1", 0), _ProxyHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A service that was stopped leaves broken connections behind."""


class _ProxyHandler(http.server.BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""

    def relay(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        assert url.port == graph.PORT, "services call one another on the port of the mesh"
        assert self.headers["host"] == url.netloc
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        target = urllib.parse.urlunsplit(("", "", url.path, url.query, ""))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.fleet.relayed(self.server.caller, str(url.hostname), self.command, target, headers, body)
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    do_GET = do_POST = do_PUT = relay  # noqa: N815


class Fleet:
    """All instances, and what they called."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.proxies = {service: Proxy(service, self) for service in graph.SERVICES}
        self.instances: dict[str, list[Address]] = {service: [] for service in graph.SERVICES}
        self.processes: list[subprocess.Popen[str]] = []
        self._serving: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._turns = {service: itertools.count() for service in graph.SERVICES}
        self._ids = itertools.count(1)
        self._connections = Connections()
        for proxy in self.proxies.values():
            threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()

    def start(self) -> None:
        """Start every instance at once, and wait until all listen."""
        names = [(service, f"{service}-1", "v1") for service in graph.SERVICES if service != "link-service"]
        names += [
            ("link-service", f"link-service-{v}-{n}", v) for v, n in (("stable", 1), ("stable", 2), ("canary", 1))
        ]
        for service, instance, version in names:
            address = self.proxies[service].server_address
            env = {
                "PORT": "0",
                "BIND": "127.0.0.1",
                "INSTANCE": instance,
                "VERSION": version,
                "http_proxy": f"http://{address[0]!s}:{address[1]}",
            }
            self.processes.append(process([sys.executable, "-P", "-m", "byway.demo.service", service], env))
        for (service, _, _), started in zip(names, self.processes, strict=True):
            self.instances[service].append(Address("127.0.0.1", listening_port(started)))

    def stop(self) -> list[int]:
        """Stop everything; the processes' exit codes."""
        for started in self.processes:
            started.terminate()
        codes = [ended(started) for started in self.processes]
        for proxy in self.proxies.values():
            proxy.shutdown()
            proxy.server_close()
        self._connections.close()
        return codes

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Reply:
        """A visitor's request to web; it has an id of its own."""
        request_id = f"visitor-{next(self._ids)}"
        content = None if body is None else json.dumps(body).encode()
        return self.relayed("", "web", method, path, {"x-request-id": request_id, **(headers or {})}, content)

    def instance(self, service: str, method: str, path: str, body: object = None, number: int = 0) -> Reply:
        """A request straight to one instance."""
        content = None if body is None else json.dumps(body).encode()
        return self._connections.exchange(self.instances[service][number], method, path, {}, content, 20)

    def relayed(
        self, caller: str, callee: str, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Reply:
        """Pass a request on to an instance in turn, and note who called whom to answer what."""
        request_id = headers.get("x-request-id", "")
        with self._lock:
            if caller and request_id.startswith("visitor-"):
                served = self._serving[request_id, caller]
                self.seen.append(Seen(caller, route(caller, served), callee, headers))
            elif caller:
                self.seen.append(Seen(caller, "", callee, headers))
            self._serving[request_id, callee] = f"{method} {urllib.parse.urlsplit(target).path}"
            places = self.instances[callee]
            place = places[next(self._turns[callee]) % len(places)]
        hop = {name: value for name, value in headers.items() if name not in ("host", "connection", "content-length")}
        return self._connections.exchange(place, method, target, hop, body or None, 30)


def route(service: str, request: str) -> str:
    """The documented request of `service` that this one is."""
    method, path = request.split(" ")
    for call in graph.CALLS:
        known, shape = call.request.split(" ")
        if call.caller == service and known == method and pattern(shape).fullmatch(path):
            return call.request
    return request


def process(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    """A program of the demo with nothing but `env` in its environment."""
    path = {"PATH": os.environ["PATH"]} | (
        {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    )
    return subprocess.Popen(command, env=path | env, stdout=subprocess.PIPE, text=True)


def listening_port(started: subprocess.Popen[str]) -> int:
    """The port that a service's first line names."""
    assert started.stdout is not None
    readable, _, _ = select.select([started.stdout], [], [], _START_S)
    assert readable, "a service did not say within 30 s that it listens"
    found = _LISTENING.search(started.stdout.readline())
    assert found is not None
    return int(found[1])


def ended(started: subprocess.Popen[str]) -> int:
    """The exit code of a process that was told to end."""
    try:
        return started.wait(15)
    finally:
        started.kill()
        started.wait(5)
        assert started.stdout is not None
        started.stdout.close()


@pytest.fixture(scope="package")
def fleet() -> Iterator[Fleet]:
    """The running fleet; all of it ends with exit code 0."""
    running = Fleet()
    try:
        running.start()
        yield running
    finally:
        codes = running.stop()
    assert set(codes) == {0}


def body_of(reply: Reply) -> Any:
    """The JSON in an answer."""
    return json.loads(reply.content)
