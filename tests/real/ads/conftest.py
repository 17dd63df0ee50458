"""A control plane, and one sidecar that it has brought up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.real.ads.envoys import ControlPlane, Sidecar, application, until


@pytest.fixture
async def control_plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    control_plane = ControlPlane(tmp_path / "ads.sock")
    await control_plane.start()
    yield control_plane
    await control_plane.stop()


@pytest.fixture
async def sidecar(tmp_path: Path, control_plane: ControlPlane) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar(tmp_path, tmp_path / "ads.sock")
    await sidecar.start()

    async def is_live() -> bool:
        return control_plane.hub.n_connected == 1 and control_plane.proxy().is_in_sync and await _is_live(sidecar)

    try:
        await until(is_live)
        yield sidecar
    finally:
        await sidecar.stop()


async def _is_live(sidecar: Sidecar) -> bool:
    return (await sidecar.admin("/ready")).strip() == "LIVE"


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """Calls through the sidecar: the host is a header."""
    url = f"http://127.0.0.1:{control_plane.http_port}"
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=url, timeout=10, limits=limits) as client:
        yield client


@pytest.fixture
async def app() -> AsyncIterator[int]:
    """The port of an application that answers `one`."""
    async with application("one") as port:
        yield port


@pytest.fixture
async def other_app() -> AsyncIterator[int]:
    """The port of an application that answers `two`."""
    async with application("two") as port:
        yield port
