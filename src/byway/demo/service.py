"""One service of the demo's fleet as a process: `python -m byway.demo.service NAME`.

It listens on `BIND`:`PORT`, calls itself `INSTANCE` in version `VERSION`, and goes through `http_proxy` where that is
set. Starting 22 of these at once must be cheap, so only the standard library is imported, and of the services this one.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Final

from byway.base.errors import UsageError
from byway.demo import graph
from byway.demo.connections import Address
from byway.demo.exchange import Identity, Service
from byway.demo.peers import Peers
from byway.demo.server import Application, Server, listening

_DRAIN_S: Final = 5.0


def proxy(environment: Mapping[str, str]) -> Address | None:
    """The forward proxy that the surroundings ask HTTP clients to use."""
    url = environment.get("http_proxy") or environment.get("HTTP_PROXY")
    if not url:
        return None
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"http_proxy is {url!r}: write http://HOST:PORT")
    return Address(host, int(port))


def application(name: str, environment: Mapping[str, str]) -> Application:
    """The service `name`, as its environment describes it."""
    if name not in graph.SERVICES:
        raise UsageError(f"no service {name!r} in the demo: it has {', '.join(graph.SERVICES)}")
    identity = Identity(name, environment.get("VERSION", "v1"), environment.get("INSTANCE", f"{name}-1"))
    service: Service = importlib.import_module(f"byway.demo.services.{name.replace('-', '_')}").service()
    peers = Peers(graph.callees(name), graph.PORT, graph.timeout_s(name), proxy(environment))
    return Application(identity, service, peers)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m byway.demo.service NAME\n")
        return 2
    try:
        address = (os.environ.get("BIND", "0.0.0.0"), int(os.environ.get("PORT", str(graph.PORT))))  # noqa: S104
        server = Server(address, application(arguments[0], os.environ))
    except (UsageError, ValueError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    except OSError as fault:
        sys.stderr.write(f"{arguments[0]} cannot listen: {fault}\n")
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    serving = threading.Thread(target=server.serve_forever, name="serving", daemon=True)
    serving.start()
    identity = server.application.identity
    sys.stdout.write(f"{identity.instance} {identity.version} listening on {listening(server)}\n")
    sys.stdout.flush()
    while serving.is_alive() and not ended.wait(60):
        pass
    return _stopped(server, ended)


def _stopped(server: Server, ended: threading.Event) -> int:
    """Take no more connections, let the requests in flight end, and say whether this was asked for."""
    server.shutdown()
    server.drained(_DRAIN_S)
    server.server_close()
    return 0 if ended.is_set() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
