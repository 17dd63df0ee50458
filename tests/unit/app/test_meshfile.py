"""`byway.yaml` is read strictly, and every mistake is told at its place."""

from __future__ import annotations

import pytest

from byway.app import meshfile
from byway.app.meshfile import MeshFile, MeshPort, description, listen_address

WHOLE = """\
mesh: shop
namespace: market
services:
  link-service:
    ports: [{name: http, port: 8080, appPort: 9000}, {name: grpc-links, port: 9090, protocol: grpc}]
    command: [./serve, --port, "${port}", "$${port}", "${HOME}"]
    env: {LOG: info}
    cwd: ./links
    serviceAccount: links
    versions:
      stable: {instances: 2}
      canary: {env: {LOG: debug}}
  web:
    port: 8080
    command: [web]
    instances: 3
gateways:
  ingress: {listen: "127.0.0.1:8080"}
resources: [./gateway.yaml]
load: {url: "http://127.0.0.1:8080", rate: 2.5}
"""


def described(text: str) -> MeshFile:
    found = description(text, "byway.yaml")
    assert found.diagnostics == ()
    assert found.value is not None
    return found.value.file


def faults(text: str) -> list[str]:
    found = description(text, "byway.yaml")
    assert found.value is None
    return [str(problem) for problem in found.diagnostics]


def one_service(lines: str) -> str:
    return f"mesh: shop\nservices:\n  web:\n    command: [web]\n{lines}"


def test_the_whole_form_is_read() -> None:
    file = described(WHOLE)
    links = file.services["link-service"]
    assert [(port.name, port.port, port.app_port) for port in links.all_ports] == [
        ("http", 8080, 9000),
        ("grpc-links", 9090, None),
    ]
    assert {name: version.instances for name, version in links.all_versions.items()} == {"stable": 2, "canary": 1}
    assert (file.mesh, file.namespace, file.resources) == ("shop", "market", ("./gateway.yaml",))
    assert file.load is not None
    assert file.load.rate == 2.5


def test_the_example_in_its_documentation_is_valid() -> None:
    text = str(meshfile.__doc__)
    example = "\n".join(line.removeprefix("    ") for line in text.splitlines() if line.startswith("    "))
    assert set(described(example).services) == {"link-service"}


def test_the_short_forms_stand_for_one_http_port_and_one_version() -> None:
    web = described(one_service("    port: 8080\n    instances: 3")).services["web"]
    assert web.all_ports == (MeshPort(name="http", port=8080),)
    assert {name: version.instances for name, version in web.all_versions.items()} == {"v1": 3}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "    prot: 8080",
            'byway.yaml:5:5: services.web.prot is no field of MeshService (did you mean "port"?)',
        ),
        (
            '    port: "8080"',
            'byway.yaml:5:5: services.web.port: expected a whole number, got the text "8080" (remove the quotes)',
        ),
        ("    port: 1\n    ports: []", "byway.yaml:6:5: services.web.ports: ports and port exclude each other"),
        (
            "    instances: 1\n    versions: {a: {}}",
            "services.web.instances: instances and versions exclude each other",
        ),
        ("    instances: 0", "byway.yaml:5:5: services.web.instances: 0 is out of range (use 1 to 100)"),
        ("    versions: {A: {}}", 'services.web.versions.A: "A" is no valid name'),
        ("    env: {1A: x}", 'services.web.env["1A"]: "1A" is no name of a variable'),
        ("    env: {A: 1}", 'services.web.env.A: expected text, got the number 1 (put it in quotes: "1")'),
        ("    env: {A: '${prt}'}", "services.web.env.A: nothing is known by the name ${prt}"),
        ("    ports: [{name: a, port: 1}, {name: a, port: 2}]", "services.web.ports[1]: a is there twice (change one)"),
        ("    ports: [{name: a, port: 1}, {name: b, port: 1}]", "services.web.ports[1]: 1 is there twice (change one)"),
        ("    ports: [{name: a}]", "services.web.ports[0].port is missing (add it)"),
        ("    ports: [{port: 1, protocol: htp}]", 'did you mean "http"?'),
        ("    serviceAccount: A", 'services.web.serviceAccount: "A" is no valid name'),
    ],
)
def test_a_mistake_in_a_service_is_told_at_its_place(lines: str, expected: str) -> None:
    found = faults(one_service(lines))
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("byway.yaml:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "byway.yaml:1:1: the file is empty"),
        ("mesh: a\n---\nmesh: b\n", "byway.yaml:3:1: the file has 2 documents"),
        ("mesh: shop\n", "byway.yaml:1:1: services is missing (add it)"),
        ("mesh: shop\nservices:\n  a: [\n", "byway.yaml:"),
        ("mesh: shop\nmesh: shop\n", "byway.yaml:2:1: "),
        ("mesh: Shop\nservices: {a: {command: [a]}}", 'byway.yaml:1:1: mesh: "Shop" is no valid name'),
        (f"mesh: {'a' * 33}\nservices: {{a: {{command: [a]}}}}", "is longer than 32 characters"),
        ("mesh: shop\nservices: {a: {}}", "services.a.command is missing (say what to run)"),
        (
            "mesh: shop\nservices: {a: {versions: {x: {command: [a]}, y: {}}}}",
            "services.a.versions.y is missing (say what to run)",
        ),
        (
            "mesh: shop\nservices:\n  a: {command: [a], versions: {b: {}}}\n  a-b: {command: [a]}\n",
            "byway.yaml:4:3: services.a-b: instance a-b-1 is also one of services.a (rename one)",
        ),
        (
            "mesh: shop\nservices: {a: {command: [a]}}\ngateways: {a: {listen: '127.0.0.1:80'}}",
            "gateways.a: instance a-1 is also one of services.a",
        ),
        (
            "mesh: shop\nservices: {a: {command: [a]}}\ngateways: {i: {listen: 'localhost:80'}}",
            'gateways.i.listen: "localhost:80" is no address to listen on (write it as "127.0.0.1:8080")',
        ),
        (
            "mesh: m\nservices: {a: {command: [a]}}\ngateways: {i: {listen: '[::1]:80'}, j: {listen: '[::1]:80'}}",
            "gateways.j: [::1]:80 is taken",
        ),
        (
            f"mesh: m\nservices: {{{'a' * 62}: {{command: [a]}}}}",
            "has a name of more than 63 characters (shorten the service's name)",
        ),
        ("mesh: m\nservices: {a: {command: [a]}}\nload: {url: 'ftp://x'}", 'load.url: "ftp://x" is no http:// URL'),
    ],
)
def test_a_mistake_in_the_file_is_told_at_its_place(text: str, expected: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert expected in found[0]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(faults("mesh: Shop\nservices:\n  a: {port: x, command: [a]}\n  B: {command: [b]}\n")) == 3


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", ":80", "[::1:80", "::1:80", "[1.2.3.4]:80", "a:1", "1.2.3.4:٣"],
)
def test_a_listen_address_is_an_ip_address_and_a_port(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the port's or the address's own complaint
        listen_address(text)


def test_a_listen_address_may_be_ipv6() -> None:
    assert listen_address("[::1]:8080") == ("::1", 8080)
