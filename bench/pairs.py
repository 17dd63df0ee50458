"""The pairs whose cost is compared: the bare one, the static twin of a live one, and that twin changed piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import bare, server
from bench.ground import Ground
from bench.mesh import BenchMesh
from bench.pieces import Piece, everything
from bench.process import BenchFailed
from bench.twin import Identity, Twin, point_at, server_address, side, vip, written
from bench.ways import Pair, Way, byway_way, tried

TOLD: Final = {
    "live": "the live pair",
    "whole": "its static twin, from which the pieces are taken",
    "nothing": "the twin without all its pieces",
}
"""What there is besides the bare pair and one pair for each piece."""

_CALLER, _SERVER = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("caller", "server"))
_FIRST_PLACE: Final = 10
_LIFE_S: Final = 6 * 3600
"""Of the live pair, which ends with the run: longer than the run waits for a quiet machine."""


def live_pair(stack: contextlib.ExitStack, application: tuple[str, ...], folder: Path, agent: Path) -> tuple[Way, Twin]:
    """A mesh of two, and its static twin."""
    way, mesh = byway_way(stack, application, folder, _LIFE_S)
    tried({"live": way})  # it holds what it was asked for
    return way, _twin(mesh, agent)


def pairs(own: Ground, folder: Path, twin: Twin, pieces: tuple[Piece, ...]) -> tuple[Pair, ...]:
    """The twin itself, the twin without any piece, and one pair for each piece; written and not started."""
    changes: dict[str, Callable[[Twin], None]] = {"whole": _nothing, "nothing": everything}
    changes |= {piece.name: piece.change for piece in pieces}
    return tuple(
        _pair(own, folder, twin, (name, change), _FIRST_PLACE + 2 * number)
        for number, (name, change) in enumerate(changes.items())
    )


def _twin(mesh: BenchMesh, agent: Path) -> Twin:
    caller, called = (Identity(*identity) for identity in bare.identities(_CALLER, _SERVER))
    return Twin(side(mesh.dump("caller-1"), caller, agent), side(mesh.dump("server-1"), called, agent))


def _pair(own: Ground, folder: Path, twin: Twin, change: tuple[str, Callable[[Twin], None]], number: int) -> Pair:
    name, make = change
    changed = twin.copied()
    make(changed)
    caller, called = (own.place(place, is_intercepted=True) for place in (number, number + 1))
    point_at(changed.client, server_address(changed.client), called.address)
    authority = vip(changed.client, server.PORT)
    if authority is None:
        raise BenchFailed("the live pair's caller holds no address of the server")
    return Pair(
        name=name,
        caller=caller,
        called=called,
        client=written(changed.client, folder, f"{name}-client"),
        server=written(changed.server, folder, f"{name}-server"),
        url=f"http://{authority}/",
    )


def _nothing(_: Twin) -> None:
    pass
