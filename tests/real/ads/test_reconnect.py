"""The control plane goes and comes back; the sidecar serves meanwhile, and gets only what is new."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.real.ads.envoys import ControlPlane, Sidecar, until
from tests.real.ads.test_changes import load

pytestmark = pytest.mark.real


async def reconnected(control_plane: ControlPlane) -> None:
    async def is_back() -> bool:
        return control_plane.hub.n_connected == 1 and control_plane.proxy().is_in_sync

    await until(is_back)


async def test_a_restart_with_nothing_changed_sends_nothing(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Known, unknown and deleted hosts included; and no call fails while it is away."""
    control_plane.serve("links", app)
    control_plane.serve("gone", app)
    for host, status in (("links", 200), ("links.default", 200), ("gone", 200), ("nobody", 404)):
        assert (await client.get("/", headers={"host": host})).status_code == status
    await control_plane.publish(control_plane.drop("gone"))
    async with load(client, "links") as answers:
        await control_plane.stop()
        assert (await client.get("/", headers={"host": "links.default"})).text == "one"
        await control_plane.start()
        await reconnected(control_plane)
        assert control_plane.hub.n_sent == 0
    assert set(answers) == {"one"}
    assert (await client.get("/", headers={"host": "gone"})).status_code == 404
    await control_plane.publish(control_plane.serve("gone", app))
    assert (await client.get("/", headers={"host": "gone"})).text == "one"


async def test_what_changed_meanwhile_is_sent_and_nothing_else(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int, other_app: int
) -> None:
    """One service moved, one deleted, one untouched."""
    for service in ("moved", "deleted", "same"):
        control_plane.serve(service, app)
        assert (await client.get("/", headers={"host": service})).text == "one"
    await control_plane.stop()
    control_plane.serve("moved", other_app)
    control_plane.drop("deleted")
    await control_plane.start()
    await reconnected(control_plane)
    answers = [await client.get("/", headers={"host": host}) for host in ("moved", "deleted", "same")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "two"), (404, ""), (200, "one")]
    proxy = control_plane.proxy()
    # The endpoints of `moved`; a removal and a 404 for `deleted`, whose cluster stays for a grace.
    assert (sum(proxy.n_sent.values()), sum(proxy.n_removed.values())) == (2, 1)


async def test_a_host_called_while_the_control_plane_is_away_is_served_when_it_is_back(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Envoy holds the request, and asks on the next stream."""
    control_plane.serve("links", app)
    await control_plane.stop()
    call = asyncio.create_task(client.get("/", headers={"host": "links"}))
    await control_plane.start()
    assert (await call).text == "one"
