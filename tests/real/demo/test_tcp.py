"""TCP on demand: nothing is configured before the first connection, also where the server speaks first."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.demo.conftest import Demo

SERVER = """
import socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        if sys.argv[2] == 'server-first':
            self.request.sendall(b'hello\\n')
        while data := self.request.recv(65536):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(('0.0.0.0', int(sys.argv[1])), Handler)
print('listening', flush=True)
server.serve_forever()
"""
CLIENT = """
import socket, sys, time
began = time.monotonic()
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
c.settimeout(10)
greeting = c.recv(100) if sys.argv[3] == 'server-first' else b''
c.sendall(b'x' * 100000)
got = b''
while len(got) < 100000:
    part = c.recv(65536)
    if not part:
        break
    got += part
print(greeting.decode().strip(), len(got), round(time.monotonic() - began, 3))
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: geo-service}}, ports: [{{name: tcp, port: {port}, targetPort: {target}}}]}}
"""


@pytest.fixture
def servers(demo: Demo) -> Iterator[None]:
    """An echo server and one that speaks first, beside the application of geo-service."""
    running = []
    for port, manner in ((3306, "server-first"), (7000, "echo")):
        command = [
            "exec",
            "geo-service",
            "--state",
            str(demo.state),
            "--",
            sys.executable,
            "-c",
            SERVER,
            str(port),
            manner,
        ]
        process = subprocess.Popen([sys.executable, "-m", "byway.cli.main", *command], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        running.append(process)
    yield
    for process in running:
        process.terminate()
        process.communicate(timeout=10)


def client(demo: Demo, host: str, port: int, manner: str) -> tuple[str, int, float]:
    """What a client beside `web` got: greeting, bytes echoed, seconds."""
    result = demo.cli("exec", "web", "--", sys.executable, "-c", CLIENT, host, str(port), manner)
    assert result.returncode == 0, result.stderr
    *greeting, n_bytes, seconds = result.stdout.split()
    return " ".join(greeting), int(n_bytes), float(seconds)


def test_a_tcp_service_is_found_at_its_first_connection(demo: Demo, servers: None, tmp_path: Path) -> None:
    file = tmp_path / "tcp.yaml"
    file.write_text(SERVICE.format(name="echo-tcp", port=7001, target=7000))
    demo.apply(str(file))
    try:
        assert client(demo, "echo-tcp", 7001, "echo")[1] == 100_000
        text = demo.cli("proxy-config", "web", "clusters").stdout
        assert "tcp" in text
    finally:
        demo.delete(str(file))
    # A deleted service refuses at once instead of hanging, and a new one under its name works again.
    began = time.monotonic()
    gone = demo.cli("exec", "web", "--", sys.executable, "-c", CLIENT, "240.240.255.250", "7001", "echo")
    assert " 100000 " not in gone.stdout
    assert time.monotonic() - began < 5
    demo.apply(str(file))
    try:
        assert client(demo, "echo-tcp", 7001, "echo")[1] == 100_000
    finally:
        demo.delete(str(file))


def test_a_server_that_speaks_first_is_not_waited_for(demo: Demo, servers: None, tmp_path: Path) -> None:
    file = tmp_path / "tcp.yaml"
    file.write_text(SERVICE.format(name="db", port=3306, target=3306))
    demo.apply(str(file))
    try:
        client(demo, "db", 3306, "server-first")
        greeting, n_bytes, seconds = client(demo, "db", 3306, "server-first")
    finally:
        demo.delete(str(file))
    assert (greeting, n_bytes) == ("hello", 100_000)
    assert seconds < 0.9, "the inspectors' timeout is 1 s"


def test_a_server_that_speaks_first_says_nothing_to_whom_a_policy_refuses(
    demo: Demo, servers: None, tmp_path: Path
) -> None:
    file = tmp_path / "tcp.yaml"
    file.write_text(
        SERVICE.format(name="guarded", port=3306, target=3306)
        + "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: guarded}\nspec:\n"
        "  selector: {matchLabels: {app: geo-service}}\n  action: DENY\n"
        '  rules: [{to: [{operation: {ports: ["3306"]}}]}]\n'
    )
    demo.apply(str(file))
    script = (
        "import socket\nc=socket.create_connection(('guarded',3306),5)\nc.settimeout(2)\ngot=b''\n"
        "try:\n  got=c.recv(100)\nexcept OSError: pass\n"
        "try:\n  c.sendall(b'x')\n  got+=c.recv(100)\nexcept OSError: pass\nprint(got)"
    )
    try:
        result = demo.cli("exec", "web", "--", sys.executable, "-c", script)
    finally:
        demo.delete(str(file))
    assert (result.returncode, result.stdout.strip()) == (0, "b''"), result.stderr


def test_a_call_of_a_sidecars_own_port_ends_there(demo: Demo) -> None:
    plan = json.loads((demo.state / "plan.json").read_text())
    peer = next(w["address"] for w in plan["workloads"] if w["instance"] == "geo-service-1")
    own = next(w["address"] for w in plan["workloads"] if w["instance"] == "web-1")
    record = demo.state / "run" / "web-1" / "envoy.process"
    before = record.read_text()
    script = (
        "import socket,sys\nfor host in sys.argv[1:]:\n  for port in (15001,15006,15020,15021,15053,15090):\n"
        "    try:\n      c=socket.create_connection((host,port),3)\n      c.settimeout(3)\n"
        "      c.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n      c.recv(100)\n      c.close()\n"
        "    except OSError: pass\n"
    )
    hosts = ("127.0.0.1", own, peer, "240.240.1.1")
    result = demo.cli("exec", "web", "--", sys.executable, "-c", script, *hosts, timeout=120)
    assert result.returncode == 0, result.stderr
    assert demo.call("web", "http://geo-service:8080/version", 20)["by_status"] == {"200": 20}
    assert record.read_text() == before, "the same Envoy"


def test_a_connection_that_is_silent_at_first_is_served(demo: Demo) -> None:
    """Longer than Envoy waits to recognise HTTP: pools connect ahead of their first request."""
    code = (
        "import select,socket;s=socket.create_connection(('link-service',8080),5);"
        "closed=select.select([s],[],[],1.5)[0];assert not closed,'closed';"
        "s.sendall(b'GET /version HTTP/1.1\\r\\nHost: link-service\\r\\nConnection: close\\r\\n\\r\\n');"
        "print(s.recv(12).decode())"
    )
    result = demo.cli("exec", "web", "--", sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("HTTP/1.1 200")
