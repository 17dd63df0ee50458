"""The ways to the server that are compared: directly, through the bare pair, and through a mesh of two.

Each has a caller and a server in network namespaces of their own, the same server program, and the same kind of link.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from bench import bare, caller, server
from bench.ground import Ground, Place, ground
from bench.mesh import LIFE_S, BenchMesh, mesh_name, running_mesh
from bench.process import BenchFailed, output, running, wait

WayName = Literal["direct", "bare", "byway"]
WAYS: Final[tuple[WayName, ...]] = ("direct", "bare", "byway")
_START_S: Final = 20.0


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the server: where the caller stands, what it calls, and which proxies are passed."""

    entered: tuple[str, ...]
    url: str
    proxies: tuple[int, ...] = ()
    application: int = 0
    """The server's pid, where it is asked for."""

    def answers(self) -> bool:
        """Whether the server can be reached by it now."""
        try:
            return bool(output((*self.entered, sys.executable, caller.__file__, "1", self.url), 30))
        except BenchFailed:
            return False


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A caller and a server in places of their own, and for each a sidecar's whole configuration in a file."""

    name: str
    caller: Place
    called: Place
    client: Path
    server: Path
    url: str

    def started(self, stack: contextlib.ExitStack, application: tuple[str, ...], envoy: Path, *below: str) -> Way:
        """Starts the server and both sidecars, these under the program `below` where one is given."""
        log = self.client.with_name(f"{self.name}-application.log")
        serves = stack.enter_context(running((*self.called.entered, *application), log))
        proxies = tuple(
            stack.enter_context(running(bare.command(place, envoy, config, *below), config.with_suffix(".log"))).pid
            for place, config in ((self.called, self.server), (self.caller, self.client))
        )
        return Way(entered=self.caller.entered, url=self.url, proxies=proxies, application=serves.pid)


@contextlib.contextmanager
def opened_ways(envoy: Path, folder: Path) -> Iterator[dict[WayName, Way]]:
    """All ways, each of them tried; everything is taken down afterwards."""
    application = server_command(envoy, folder)
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(ground())
        ways: dict[WayName, Way] = {
            "direct": _direct(stack, own, application, folder),
            "bare": bare_pair(own, folder).started(stack, application, envoy),
            "byway": byway_way(stack, application, folder)[0],
        }
        tried(ways)
        yield ways


def tried(ways: Mapping[Any, Way], limit_s: float = _START_S) -> None:
    """Waits until each way leads to the server."""
    for name, way in ways.items():
        wait(way.answers, limit_s, f"an answer by the {name} way")


def server_command(envoy: Path, folder: Path) -> tuple[str, ...]:
    """How the application is started, whose configuration is written for it."""
    return server.command(envoy, server.write_config(folder / "server.json"))


def _direct(stack: contextlib.ExitStack, own: Ground, application: tuple[str, ...], folder: Path) -> Way:
    caller, called = (own.place(number, is_intercepted=False) for number in (1, 2))
    stack.enter_context(running((*called.entered, *application), folder / "direct-server.log"))
    return Way(entered=caller.entered, url=f"http://{called.address}:{server.PORT}/")


def bare_pair(own: Ground, folder: Path) -> Pair:
    """The bare pair, written and not started."""
    caller, called = (own.place(number, is_intercepted=True) for number in (3, 4))
    of_caller, of_called = bare.identities(f"{bare.SPIFFE}caller", f"{bare.SPIFFE}server")
    return Pair(
        name="bare",
        caller=caller,
        called=called,
        client=bare.write_client_config(folder / "bare-client.json", of_caller, called),
        server=bare.write_server_config(folder / "bare-server.json", of_called),
        url=f"http://{called.address}:{server.PORT}/",
    )


def byway_way(
    stack: contextlib.ExitStack, application: tuple[str, ...], folder: Path, life_s: int = LIFE_S
) -> tuple[Way, BenchMesh]:
    """Through a mesh of two, and the mesh; it ends by itself after `life_s`."""
    file = folder / "pair.yaml"
    services = {
        "caller": {"command": ["sleep", "infinity"]},
        "server": {"port": server.PORT, "command": list(application)},
    }
    file.write_text(yaml.safe_dump({"mesh": mesh_name("pair"), "services": services}))
    pair = folder / "pair"
    pair.mkdir()
    mesh = stack.enter_context(running_mesh(file, pair, life_s))
    way = Way(
        entered=mesh.entered("caller"),
        url=f"http://server:{server.PORT}/",
        proxies=(mesh.envoy("caller-1"), mesh.envoy("server-1")),
        application=mesh.application("server-1"),
    )
    return way, mesh
