"""Control planes over one source: either takes writes, streams move between them, and nothing is sent again."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from tests.real.demo.conftest import Demo
from tests.real.replicas.conftest import MARK, N_PROXIES, Load, Twins, seconds_until

pytestmark = pytest.mark.real


def test_a_change_applied_at_either_reaches_proxies_at_the_other(twins: Twins) -> None:
    """All proxies of the agent are at one of the two; who applies at the other is not told of any, and still reaches all."""
    assert twins.get().text == "the back answers"
    home, away = twins.home, twins.away
    assert (home.synced(), away.synced()) == (N_PROXIES, 0)
    assert "those at others take it from the store" in away.apply(MARK.format(mark="away"))
    assert "ask the others of the mesh" in away.cli("proxy-config", "front").stderr
    assert seconds_until(lambda: twins.mark() == "away", 10) < 5
    home.apply(MARK.format(mark="home"))
    Demo.wait(lambda: twins.mark() == "home", 10)
    assert twins.is_written(home, "home")
    assert twins.is_written(away, "home")


def test_killed_the_streams_move_and_nothing_is_sent_again(twins: Twins) -> None:
    """kill -9 under load: no request fails, and the other sends not one resource to the proxies that come over."""
    home, away = twins.home, twins.away
    twins.get()
    n_sent = away.metric("byway_xds_resources_sent_total")
    with Load(twins.get) as load:
        Demo.wait(lambda: load.n > 20)
        home.end(signal.SIGKILL)
        took_s = seconds_until(lambda: away.synced() == N_PROXIES, 20)
        n_meanwhile = load.n
        Demo.wait(lambda: load.n > n_meanwhile + 20)
    assert load.failures == []
    assert away.metric("byway_xds_resources_sent_total") == n_sent, (
        f"something was sent again (moved in {took_s:.1f} s)"
    )
    Demo.wait(lambda: len(away.certificates()) == N_PROXIES, 10)
    away.apply(MARK.format(mark="alone"))
    assert twins.mark() == "alone"
    home.start()
    home.apply(MARK.format(mark="back again"))
    Demo.wait(lambda: twins.mark() == "back again", 10)


def test_what_a_sidecar_was_given_unasked_is_neither_taken_away_nor_sent_again(twins: Twins) -> None:
    """A restarted Envoy starts with the calls that its control plane knows; the other may not know them, and leaves them."""
    home, away = twins.home, twins.away
    twins.get()
    Demo.wait(lambda: home.metric("byway_calls_known") >= 1, 40)
    n_asked = home.metric("byway_xds_on_demand_total")
    killed = twins.envoy_pid("front")
    os.kill(killed, signal.SIGKILL)
    Demo.wait(lambda: twins.envoy_pid("front") not in (0, killed) and home.synced() == N_PROXIES, 30)
    assert twins.mark() != ""
    assert home.metric("byway_xds_on_demand_total") == n_asked, "it had the route before its first call"
    n_sent = away.metric("byway_xds_resources_sent_total")
    home.end(signal.SIGKILL)
    Demo.wait(lambda: away.synced() == N_PROXIES, 20)
    assert twins.mark() != ""
    assert away.metric("byway_xds_resources_sent_total") == n_sent
    home.start()


def test_while_the_store_is_away_writes_are_refused_and_what_runs_stays(twins: Twins) -> None:
    """And when it is back, both go on as if nothing had been."""
    file = twins.folder / "refused.yaml"
    file.write_text(MARK.format(mark="refused"))
    before = twins.mark()
    twins.server.stop(is_crash=True)
    done = twins.first.cli("apply", "-f", str(file))
    assert done.returncode == 1
    assert "store postgresql://" in done.stderr
    assert "nothing was changed" in done.stderr
    assert "byway@" not in done.stderr
    assert twins.mark() == before
    Demo.wait(lambda: twins.first.metric("byway_store_up") == 0, 10)
    checked = twins.first.cli("check")
    assert (checked.returncode, "× the store is away since" in checked.stdout) == (1, True)
    assert "the store is away since" in twins.first.cli("status").stdout
    assert "would be refused now" in twins.first.cli("apply", "--dry-run", "-f", str(file)).stderr
    twins.server.start()
    Demo.wait(lambda: twins.first.metric("byway_store_up") == 1, 15)
    twins.first.apply(MARK.format(mark="restored"))
    Demo.wait(lambda: twins.mark() == "restored", 15)
    for replica in (twins.first, twins.second):
        Demo.wait(partial(twins.is_written, replica, "restored"), 15)


def test_an_agent_comes_back_without_the_control_plane_of_its_host(twins: Twins) -> None:
    """It goes on with the certificate that it had, at the other one; `down` names a control plane that still serves."""
    down = twins.second.cli("down", "--state", str(twins.second.state))
    assert twins.second.process is not None
    assert (down.returncode, f"process {twins.second.process.pid} " in down.stdout) == (1, True), down.stdout
    assert twins.second.is_running
    twins.end_agent()
    twins.first.end(signal.SIGKILL)
    Demo.wait(lambda: twins.second.synced() == 0, 20)
    twins.start_agent()
    Demo.wait(lambda: twins.second.synced() == N_PROXIES, 30)
    held = twins.second.certificates()
    assert len(held) == N_PROXIES
    twins.get()
    twins.second.end()
    twins.second.start()
    Demo.wait(lambda: twins.second.certificates() == held, 30)
    twins.first.start()


def test_a_control_plane_of_another_mesh_is_refused(twins: Twins) -> None:
    """Though it has the CA."""
    code, complaint = twins.namesake.refusal()
    assert code == 1
    assert "the store belongs to the mesh twin, this control plane is of bank" in complaint


def test_a_control_plane_with_another_root_is_refused(twins: Twins) -> None:
    """Two roots never serve one mesh; nor is a second one made beside a store that has one."""
    code, complaint = twins.stranger.refusal()
    assert code == 1
    assert "no CA is here" in complaint
    assert "give this control plane the others' CA by --ca" in complaint
    assert not list((twins.stranger.state / "ca").iterdir())
