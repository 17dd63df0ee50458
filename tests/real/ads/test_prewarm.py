"""A starting sidecar is given what it is known to call, before it is ready: no first call waits, and nothing is asked for."""

from __future__ import annotations

import time

import httpx
import pytest

from byway.model import names
from tests.real.ads.envoys import ControlPlane, Sidecar, static_cluster
from tests.real.ads.test_on_demand import spoken
from tests.real.ads.test_reconnect import reconnected

pytestmark = pytest.mark.real


@pytest.fixture
async def known(control_plane: ControlPlane, app: int) -> None:
    """Two services over HTTP and one over TCP, all of which the sidecar is known to call."""
    control_plane.serve("links", app)
    control_plane.serve("users", app)
    control_plane.catalogue.put(static_cluster(tcp_name(control_plane), app))
    control_plane.catalogue.known_names = (
        (names.TYPE_VIRTUAL_HOST, "out/links.default"),
        (names.TYPE_VIRTUAL_HOST, "out/users.default"),
        (names.TYPE_CLUSTER, tcp_name(control_plane)),
        (names.TYPE_VIRTUAL_HOST, "out/nobody"),
    )


@pytest.fixture
async def sidecar(known: None, sidecar: Sidecar) -> Sidecar:
    """A sidecar that starts when all is known."""
    return sidecar


def tcp_name(control_plane: ControlPlane) -> str:
    return f"tcp|127.0.0.9:{control_plane.tcp_port}"


async def call(client: httpx.AsyncClient, host: str) -> tuple[int, str]:
    answer = await client.get("/", headers={"host": host})
    return answer.status_code, answer.text


async def test_the_first_calls_ask_for_nothing_under_any_spelling(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient
) -> None:
    """Neither HTTP nor TCP: the control plane hears of no name and sends nothing more."""
    assert await sidecar.clusters() == {"outbound|links", "outbound|users", tcp_name(control_plane)}
    n_sent = control_plane.hub.n_sent
    for host in ("links", "links.default", "users.default", "users"):
        assert await call(client, host) == (200, "one")
    assert b"one" in await spoken("127.0.0.9", control_plane.tcp_port)
    assert (control_plane.hub.n_asked, control_plane.hub.n_sent) == (0, n_sent)


async def test_what_is_not_known_is_asked_for_and_told_to_the_catalogue(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """By the name of what was found; what there is not is counted only."""
    control_plane.serve("new", app)
    assert await call(client, "new") == (200, "one")
    assert (await call(client, "nobody"))[0] == 404
    assert control_plane.hub.n_asked == control_plane.proxy().n_asked == 2
    assert control_plane.catalogue.asked_names == [(names.TYPE_VIRTUAL_HOST, "out/new.default")]


async def test_later_changes_reach_what_came_unasked(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, other_app: int
) -> None:
    """Of endpoints, of the virtual host itself, and of the TCP cluster."""
    await control_plane.publish(control_plane.serve("links", other_app))
    assert await call(client, "links") == (200, "two")
    moved = {"route": {"cluster": "outbound|links", "prefix_rewrite": "/moved"}}
    result = await control_plane.publish(control_plane.serve("links", other_app, **moved))
    assert (result.n_acked, result.refusals) == (1, ())
    await control_plane.publish(control_plane.catalogue.put(static_cluster(tcp_name(control_plane), other_app)))
    assert b"two" in await spoken("127.0.0.9", control_plane.tcp_port)
    assert control_plane.hub.n_asked == 0


async def test_a_service_that_is_deleted_and_comes_back_is_404_and_then_served(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, app: int
) -> None:
    """Also when it was called before, between and after, or never before."""
    assert await call(client, "links") == (200, "one")
    for _ in range(2):
        await control_plane.publish(control_plane.drop("links") | control_plane.drop("users"))
        started = time.monotonic()
        assert (await call(client, "links"))[0] == 404
        assert time.monotonic() - started < 1
        await control_plane.publish(control_plane.serve("links", app) | control_plane.serve("users", app))
        assert await call(client, "links") == (200, "one")
    assert await call(client, "users") == (200, "one")


async def test_a_restarted_control_plane_sends_nothing_and_goes_on_to_tell_changes(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient, other_app: int
) -> None:
    """Envoy names what it holds, and that it did not ask for it; even if the control plane has forgotten why it sent it."""
    assert await call(client, "links") == (200, "one")
    control_plane.catalogue.known_names = ()
    await control_plane.stop()
    await control_plane.start()
    await reconnected(control_plane)
    assert await call(client, "links") == (200, "one")
    assert b"one" in await spoken("127.0.0.9", control_plane.tcp_port)
    assert (control_plane.hub.n_sent, control_plane.hub.n_asked) == (0, 0)
    for service in ("links", "users"):
        await control_plane.publish(control_plane.serve(service, other_app))
        assert await call(client, service) == (200, "two")
    await control_plane.publish(control_plane.catalogue.put(static_cluster(tcp_name(control_plane), other_app)))
    assert b"two" in await spoken("127.0.0.9", control_plane.tcp_port)


async def test_a_restarted_sidecar_starts_warm_each_time(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient
) -> None:
    """Killed and started again: the very first request that its listener takes finds its virtual host."""
    for _ in range(3):
        await sidecar.stop()
        await sidecar.start()
        assert await first_answer(client, "users") == (200, "one")
    assert control_plane.hub.n_asked == 0


async def first_answer(client: httpx.AsyncClient, host: str) -> tuple[int, str]:
    """The answer to a call as soon as somebody listens; bounded."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await call(client, host)
        except httpx.TransportError:
            assert time.monotonic() < deadline, "nobody listens"


async def test_a_bad_virtual_host_among_the_known_holds_up_nothing(
    control_plane: ControlPlane, sidecar: Sidecar, client: httpx.AsyncClient
) -> None:
    """Envoy refuses the whole first answer and opens its listener; the rest comes one by one."""
    control_plane.serve("users", 1, match={"safe_regex": {"regex": "("}})
    await sidecar.stop()
    await sidecar.start()
    assert await first_answer(client, "links") == (200, "one")
    assert control_plane.proxy().last_error is not None
