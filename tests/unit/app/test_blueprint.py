"""A mesh file becomes the mesh's objects and the agent's plan."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest

from byway.agent.plan import WorkloadPlan, plan_from_json, plan_json, plan_mistake
from byway.app.blueprint import Blueprint, Setting, blueprint
from byway.app.meshfile import description
from byway.base.diagnostics import Position
from byway.demo import files
from byway.kinds.decode import decode
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.kubernetes.service import Service
from byway.kinds.resource import Resource

FILE = """\
mesh: shop
services:
  links:
    ports: [{name: http, port: 80, appPort: 9000}, {name: grpc-x, port: 9090}, {name: db, port: 3306, protocol: tcp}]
    command: [bin/links, --port, "${port}", --as, "${instance}", "$${port}"]
    env: {LOG: info, WHO: "${version} on ${bind}"}
    cwd: ./links
    serviceAccount: linker
    versions:
      stable: {instances: 2}
      canary: {command: ["${python}", -m, links], env: {LOG: debug}, cwd: /srv}
  web:
    port: 8080
    command: [web]
gateways:
  ingress: {listen: "127.0.0.1:8080"}
  inner: {listen: "10.0.0.1:80", serviceAccount: door, labels: {istio: inner}}
"""
SETTING = Setting(
    node="here",
    interception="iptables",
    folder="/home/ada/shop",
    python="/opt/byway/python",
    subnet="10.77.0.0/16",
    uid=1000,
    gid=100,
    env={"HOME": "/home/ada", "LOG": "none"},
)
EXPLICIT = msgspec.structs.replace(SETTING, interception="explicit", subnet="")


def made(text: str = FILE, setting: Setting = SETTING, first_port: int = 40_000) -> Blueprint:
    described = description(text, "shop/byway.yaml")
    assert described.value is not None, described.diagnostics
    found = blueprint(described.value, setting, itertools.count(first_port))
    assert found.value is not None, found.diagnostics
    return found.value


def workload(found: Blueprint, instance: str) -> WorkloadPlan:
    return next(workload for workload in found.plan.workloads if workload.instance == instance)


def resources(found: Blueprint) -> list[Resource]:
    results = [decode(document) for document in found.documents]
    assert [str(problem) for result in results for problem in result.diagnostics] == []
    return [result.value for result in results if result.value is not None]


def spec(found: Blueprint, kind: str, name: str) -> Any:
    return next(r.spec for r in resources(found) if (r.id.kind, r.id.name) == (kind, name))


@pytest.mark.parametrize("setting", [SETTING, EXPLICIT], ids=["iptables", "explicit"])
def test_every_object_is_valid_and_the_agent_accepts_the_plan(setting: Setting) -> None:
    for text in (FILE.replace(", appPort: 9000", ""), files.MESH.read_text()):
        found = made(text, setting)
        assert len(resources(found)) == len(found.documents)
        assert plan_mistake(found.plan) == ""
        assert plan_from_json(plan_json(found.plan)) == found.plan


def test_each_instance_has_an_entry_each_service_an_object_and_each_identity_an_account() -> None:
    ids = [str(resource.id) for resource in resources(made())]
    assert ids == [
        "ServiceAccount default/linker",
        "ServiceAccount default/web",
        "ServiceAccount default/ingress",
        "ServiceAccount default/door",
        "Service default/links",
        "Service default/web",
        "WorkloadEntry default/links-stable-1",
        "WorkloadEntry default/links-stable-2",
        "WorkloadEntry default/links-canary-1",
        "WorkloadEntry default/web-1",
        "WorkloadEntry default/ingress-1",
        "WorkloadEntry default/inner-1",
    ]


def test_an_object_stands_where_the_mesh_file_has_what_it_was_made_of() -> None:
    entry = next(r for r in resources(made()) if r.id.name == "web-1")
    assert entry.position("spec.address") == Position("shop/byway.yaml", 12, 3)


def test_a_service_selects_its_instances_by_name_and_keeps_its_ports() -> None:
    found = spec(made(), "Service", "links")
    assert isinstance(found, Service)
    assert found.selector == {"app": "links"}
    assert [(port.name, port.port, port.app_protocol) for port in found.ports] == [
        ("http", 80, ""),
        ("grpc-x", 9090, ""),
        ("db", 3306, "tcp"),
    ]


def test_an_entry_says_what_the_mesh_must_know_of_an_instance() -> None:
    found = made()
    entry = next(r for r in resources(found) if r.id.name == "links-canary-1")
    assert entry.annotations == {
        "byway.dev/node": "here",
        "byway.dev/interception": "iptables",
        "byway.dev/app-ports": "http=9000,grpc-x=9090,db=3306",
    }
    assert isinstance(entry.spec, WorkloadEntry)
    assert entry.spec.ports == {"http": 80, "grpc-x": 9090, "db": 3306}
    assert entry.spec.service_account == "linker"
    assert entry.spec.labels == {
        "app": "links",
        "version": "canary",
        "service.istio.io/workload-name": "links-canary",
        "security.istio.io/tlsMode": "istio",
    }
    assert workload(found, "links-canary-1").labels == entry.spec.labels


def test_the_application_is_told_its_place_in_environment_and_command() -> None:
    stable, canary = workload(made(), "links-stable-2"), workload(made(), "links-canary-1")
    assert stable.command == ("/home/ada/shop/links/bin/links", "--port", "9000", "--as", "links-stable-2", "${port}")
    assert stable.env == {
        "HOME": "/home/ada",
        "BIND": "0.0.0.0",
        "INSTANCE": "links-stable-2",
        "VERSION": "stable",
        "PORT": "9000",
        "PORT_HTTP": "9000",
        "PORT_GRPC_X": "9090",
        "PORT_DB": "3306",
        "LOG": "info",
        "WHO": "stable on 0.0.0.0",
    }
    assert (stable.cwd, stable.uid, stable.gid) == ("/home/ada/shop/links", 1000, 100)
    assert canary.command == ("/opt/byway/python", "-m", "links")
    assert (canary.cwd, canary.env["LOG"]) == ("/srv", "debug")
    assert workload(made(), "web-1").command == ("web",)


def test_a_gateway_is_an_envoy_without_application_on_the_host() -> None:
    found = made()
    ingress = workload(found, "ingress-1")
    assert (ingress.kind, ingress.interception, ingress.command) == ("router", "none", ())
    assert (ingress.address, ingress.service_account) == ("127.0.0.1", "ingress")
    assert ingress.labels["istio"] == "ingressgateway"
    inner = workload(found, "inner-1")
    assert (inner.address, inner.service_account, inner.labels["istio"]) == ("10.0.0.1", "door", "inner")
    assert [ingress.ready_port, inner.ready_port] == [40_000, 40_001]
    assert workload(found, "web-1").ready_port == 15021


def test_the_same_file_gives_the_same_addresses_in_any_order() -> None:
    services = ["web", "links", "audit"]
    lines = {name: f"  {name}: {{port: 80, command: [a]}}\n" for name in services}
    plans = {
        tuple(sorted((w.instance, w.address) for w in made("mesh: m\nservices:\n" + "".join(order)).plan.workloads))
        for order in itertools.permutations(lines.values())
    }
    assert plans == {(("audit-1", "10.77.0.2"), ("links-1", "10.77.0.3"), ("web-1", "10.77.0.4"))}


def test_instances_keep_their_addresses_when_others_come_and_go() -> None:
    before = made()
    text = FILE.replace("stable: {instances: 2}", "stable: {instances: 1}") + "load: {url: 'http://127.0.0.1'}\n"
    text = text.replace("  web:\n", "  audit: {command: [a]}\n  extra: {command: [a]}\n  web:\n")
    after = made(text, msgspec.structs.replace(SETTING, previous=before.plan))
    addresses = {w.instance: w.address for w in after.plan.intercepted}
    kept = {w.instance: w.address for w in before.plan.intercepted if w.instance in addresses}
    assert kept.items() <= addresses.items()
    assert kept.keys() == {"links-stable-1", "links-canary-1", "web-1"}
    assert len(set(addresses.values())) == len(addresses) == 5
    assert all(IPv4Address(address) in IPv4Network("10.77.0.0/16") for address in addresses.values())
    assert plan_mistake(after.plan) == ""


def test_another_network_gives_other_addresses() -> None:
    setting = msgspec.structs.replace(SETTING, subnet="10.78.0.0/16", previous=made().plan)
    assert {w.address.rpartition(".")[0] for w in made(setting=setting).plan.intercepted} == {"10.78.0"}


def test_without_namespaces_every_port_of_the_host_is_used_once() -> None:
    found = made(files.MESH.read_text(), EXPLICIT)
    sidecars = [w for w in found.plan.workloads if w.kind == "sidecar"]
    ports = [
        number
        for w in sidecars
        for number in (w.explicit.outbound_port, w.ready_port, *(n for p in w.ports for n in (p.port, p.app_port)))
    ]
    assert len(set(ports)) == len(ports) == 22 * 4
    assert found.plan.network.subnet == ""
    assert {w.address for w in sidecars} == {"127.0.0.1"}
    web = workload(found, "web-1")
    entry = next(r for r in resources(found) if r.id.name == "web-1")
    assert isinstance(entry.spec, WorkloadEntry)
    assert entry.spec.ports == {"http": web.ports[0].port} == web.explicit.inbound_ports
    assert entry.annotations["byway.dev/outbound-port"] == str(web.explicit.outbound_port)
    assert entry.annotations["byway.dev/app-ports"] == f"http={web.env['PORT']}"
    assert web.env["BIND"] == "127.0.0.1"


def test_without_namespaces_a_running_instance_keeps_its_ports() -> None:
    text = files.MESH.read_text()
    before = made(text, EXPLICIT)
    again = made(text, msgspec.structs.replace(EXPLICIT, previous=before.plan), first_port=50_000)
    assert again == before
    switched = made(text, msgspec.structs.replace(SETTING, previous=before.plan))
    assert workload(switched, "web-1").ports[0].port == 8080


def test_without_namespaces_a_fixed_port_has_room_for_one_instance_only() -> None:
    described = description(FILE, "byway.yaml")
    assert described.value is not None
    found = blueprint(described.value, EXPLICIT, itertools.count(40_000))
    assert found.value is None
    assert [(problem.code, str(problem.position)) for problem in found.diagnostics] == [
        ("fixed-port", "byway.yaml:3:3")
    ]
    single = made("mesh: m\nservices: {a: {ports: [{port: 80, appPort: 9000}], command: [a]}}", EXPLICIT)
    assert single.plan.workloads[0].env["PORT"] == "9000"


@pytest.mark.parametrize("setting", [SETTING, EXPLICIT])
def test_a_grpc_client_has_no_envoy_and_is_called_by_its_own_ports(setting: Setting) -> None:
    found = made("mesh: m\nservices:\n  client: {proxy: grpc, port: 80, command: [run]}\n", setting)
    client = workload(found, "client-1")
    assert client.proxy_id.startswith("grpc~")
    assert client.ports[0].port == client.ports[0].app_port
    assert "security.istio.io/tlsMode" not in client.labels
    (entry,) = (r for r in resources(found) if r.id.kind == "WorkloadEntry")
    assert entry.annotations["byway.dev/interception"] == "none"
    assert plan_from_json(plan_json(found.plan)) == found.plan


def test_discovery_is_said_for_all_services_and_otherwise_for_one() -> None:
    """It stands at each instance; a gateway has none, and where nothing is said the mesh decides."""
    services = "services:\n  a: {port: 80, command: [run]}\n  b: {port: 80, command: [run], discovery: lazy}\n"
    gateways = 'gateways:\n  in: {listen: "127.0.0.1:8080"}\n'

    def said(text: str) -> dict[str, str | None]:
        entries = (r for r in resources(made(text)) if r.id.kind == "WorkloadEntry")
        return {entry.id.name: entry.annotations.get("byway.dev/discovery") for entry in entries}

    assert said(f"mesh: m\ndiscovery: eager\n{services}{gateways}") == {"a-1": "eager", "b-1": "lazy", "in-1": None}
    assert said(f"mesh: m\n{services}") == {"a-1": None, "b-1": "lazy"}
