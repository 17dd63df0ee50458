"""Small meshes of a user's own processes, and what a mesh leaves on a machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from byway.agent.interception.names import bridge_name, chain_prefix, link_prefix
from byway.app.machine import network_name
from tests.real.demo.conftest import Demo, free_port, require_root

BYWAY = (sys.executable, "-m", "byway.cli.main")

BACK = """
import http.server, os
class Back(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"the back answers"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ["BIND"], int(os.environ["PORT"])), Back).serve_forever()
"""
FRONT = (
    BACK.replace("Back", "Front")
    .replace('b"the back answers"', 'b"front: " + urllib.request.urlopen("http://back:9000/", timeout=5).read()')
    .replace("import http.server, os", "import http.server, os, urllib.request")
)

BOTH = """
import os, socketserver, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"echo " + self.request.recv(100))
echo = socketserver.ThreadingTCPServer((os.environ["BIND"], int(os.environ["PORT_TCP"])), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
os.environ["PORT"] = os.environ["PORT_HTTP"]
exec(open("back.py").read())
"""

TINY = """\
mesh: tiny
services:
  front:
    port: 8000
    command: ["${python}", front.py]
  back:
    port: 9000
    command: ["${python}", back.py]
"""
CRASHING = f"""{TINY}\
  crashing:
    port: 9100
    command: ["${{python}}", -c, "raise SystemExit(3)"]
"""


@contextlib.contextmanager
def both_kinds(name: str, folder: Path, text: str) -> Iterator[Tiny]:
    """A running mesh of that name with a program `both.py`, of which nothing is left in the end."""
    require_root()
    mesh = Tiny(folder, text)
    (folder / "both.py").write_text(BOTH)
    mesh.start()
    try:
        yield mesh
    finally:
        mesh.end()
    assert traces(name, mesh.state) == []


class Tiny:
    """`byway up` of a small mesh, as its user has it."""

    def __init__(self, folder: Path, text: str = TINY) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "back.py").write_text(BACK)
        (folder / "front.py").write_text(FRONT)
        self.file = folder / "byway.yaml"
        self.file.write_text(text)
        self.state = folder / "state"
        self.admin, self.xds = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._output = folder / "up.out"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """The command line."""
        where = ("--state", str(self.state), "--admin", self.admin, "--xds", self.xds)
        return [*BYWAY, "up", "-f", str(self.file), *where]

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Starts it and waits until it says that it is ready, or ends."""
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*self.command, *options], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        process = self.process
        Demo.wait(lambda: "services are ready" in self.output or process.poll() is not None, 60)
        assert "services are ready" in self.output, self.output
        return process

    def outcome(self, *options: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
        """The exit code and the complaint of a start that is to fail."""
        done = subprocess.run(
            [*before, *self.command, "--for", "0.1", *options], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr

    def cli(self, *arguments: str) -> str:
        """What one command against it prints."""
        environment = {**os.environ, "BYWAY_SERVER": f"http://{self.admin}", "BYWAY_STATE": str(self.state)}
        done = subprocess.run(
            [*BYWAY, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fetched(self, workload: str, url: str) -> str:
        """What a workload's application gets from a URL, as it calls by itself."""
        code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=5).read().decode())"
        return self.cli("exec", workload, "--", sys.executable, "-c", code).strip()

    def end(self) -> None:
        """Ends it and removes whatever is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        subprocess.run([*BYWAY, "down", "--state", str(self.state)], capture_output=True, timeout=90, check=False)


def members(state: Path) -> list[int]:
    """The control plane and the agent of the mesh in `state`."""
    return [pid for pid, words in _processes() if b"byway.app.entry" in words and _speaks_of(words, state)]


def traces(mesh: str, state: Path) -> list[str]:
    """All that the mesh in `state` has on this machine besides its state directory; other meshes are not counted."""
    name = network_name(mesh, state)
    found = [f"process {pid}" for pid, words in _processes() if _speaks_of(words, state)]
    namespaces = Path("/run/netns")
    if namespaces.is_dir():
        found += [f"namespace {path.name}" for path in namespaces.iterdir() if path.name.startswith(f"byway-{name}-")]
    found += [f"process {pid} in {state}" for pid, _ in _processes() if _holds(pid, f"{state.resolve()}/")]
    for command, marks in (
        (("ip", "-o", "link"), (bridge_name(name), link_prefix(name))),
        (("iptables-save",), (chain_prefix(name),)),
        (("ss", "-xH", "-a"), (str(state), f"@byway/{name}")),
    ):
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
        found += [line for line in lines if any(mark in line for mark in marks)]
    found += [str(path) for path in (state / "run", state / "scratch", state / "agent.sock") if path.exists()]
    return found


def _processes() -> list[tuple[int, list[bytes]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                found.append((int(entry.name), (entry / "cmdline").read_bytes().split(b"\0")))
    return found


def _speaks_of(words: list[bytes], state: Path) -> bool:
    return any(str(state).encode() in word for word in words)


def _holds(pid: int, folder: str) -> bool:
    with contextlib.suppress(OSError):
        return any(str(fd.readlink()).startswith(folder) for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False
