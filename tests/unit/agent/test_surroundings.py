"""What a workload's process finds around it, for a start and for `byway exec`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from byway.agent.bootstrap import ProxyLimits, bootstrap
from byway.agent.envoy_admin import is_readable
from byway.agent.exec import exec_command
from byway.agent.layout import Layout, SocketPath, write_whole
from byway.agent.plan import ExplicitPlan, NetworkPlan, Plan, WorkloadPlan
from byway.agent.surroundings import environment, nsswitch_conf, resolv_conf
from byway.base.errors import UsageError

WEB = WorkloadPlan(instance="web-1", workload="web", address="10.77.0.2", env={"A": "b"}, uid=1000, cwd="/srv")
PLAN = Plan(mesh="demo", node="here", network=NetworkPlan("10.77.0.0/16"), workloads=(WEB,))
WEB_FILES = Layout(Path("/s")).workload("web-1")
EXPLICIT = msgspec.structs.replace(WEB, interception="explicit", explicit=ExplicitPlan(41002))


def test_exec_enters_the_namespace_with_the_applications_user_and_environment() -> None:
    """The launcher's whole order, and no record: a command in the foreground is nobody's to adopt."""
    specification = json.loads(exec_command(PLAN, "web", ["curl", "x"], Layout(Path("/s")))[-1])
    assert specification["netns"] == "/run/netns/byway-demo-web-1"
    assert specification["binds"][0] == ["/s/run/web-1/resolv.conf", "/etc/resolv.conf"]
    assert (specification["uid"], specification["cwd"], specification["argv"]) == (1000, "/srv", ["curl", "x"])
    assert specification["env"]["A"] == "b"
    assert not specification["record"]


def test_exec_without_a_command_is_an_error_of_use() -> None:
    """With the way it is meant."""
    with pytest.raises(UsageError, match="byway exec"):
        exec_command(PLAN, "web", [], Layout(Path("/s")))


def test_explicit_proxying_is_told_by_the_environment() -> None:
    """And the workload's own variables come last."""
    assert environment(EXPLICIT, WEB_FILES)["http_proxy"] == "http://127.0.0.1:41002"
    assert "127.0.0.1" in environment(EXPLICIT, WEB_FILES)["no_proxy"]
    assert environment(msgspec.structs.replace(EXPLICIT, env={"http_proxy": ""}), WEB_FILES)["http_proxy"] == ""


def test_the_resolver_searches_the_workloads_namespace_first() -> None:
    """As in Kubernetes."""
    assert "search shop.svc.cluster.local svc.cluster.local cluster.local\n" in resolv_conf("shop")
    assert "ndots:5" in resolv_conf("shop")


def test_hosts_are_looked_up_by_dns_whatever_the_host_prefers() -> None:
    """A resolver daemon of the host knows no mesh names."""
    text = nsswitch_conf("passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n")
    assert text == "passwd: files\nhosts: files dns\n"
    assert nsswitch_conf("") == "hosts: files dns\n"


def test_envoy_is_told_who_it_is_and_keeps_its_admin_interface_to_itself() -> None:
    """Node, epoch, and a Unix socket in place of a port."""
    document = bootstrap(WEB, node="here", epoch="e1", limits=ProxyLimits())
    assert document["node"]["id"] == WEB.proxy_id
    assert document["node"]["metadata"]["EPOCH"] == "e1"
    assert document["admin"]["address"]["pipe"] == {"path": "admin.sock", "mode": 0o600}
    assert document["dynamic_resources"]["lds_config"]["initial_fetch_timeout"] == "0s"
    assert document["static_resources"]["listeners"][0]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert "typed_dns_resolver_config" not in bootstrap(EXPLICIT, node="", epoch="", limits=ProxyLimits())


@pytest.mark.parametrize(
    "path", ["/quitquitquit", "/logging", "/config_dump/..", "/stats?a b", "//config_dump", "/drain_listeners"]
)
def test_nothing_that_changes_an_envoy_can_be_asked_for(path: str) -> None:
    """Only reads are on the list."""
    assert not is_readable(path)
    assert is_readable("/config_dump?resource=dynamic_listeners")


def test_a_socket_can_be_named_however_deep_its_directory_is(tmp_path: Path) -> None:
    """Linux allows 107 characters."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = SocketPath(deep / "agent.sock")
    assert len(path.text) < 107
    (deep / "agent.sock").write_text("here")
    assert Path(path.text).read_text() == "here"
    path.close()


def test_a_file_is_replaced_whole_and_a_link_is_not_followed(tmp_path: Path) -> None:
    """Envoy's user owns some directories that the agent writes to."""
    victim, link = tmp_path / "victim", tmp_path / "names.json"
    victim.write_text("precious")
    link.symlink_to(victim)
    write_whole(link, b"new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("precious", "new", False)
