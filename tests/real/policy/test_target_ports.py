"""A service that leads to a port which its workloads never declared, added to a running mesh and taken away again."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.real.policy.conftest import ECHO, UNDECLARED, Doors

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: back}}, ports: [{{name: {protocol}, port: 80, targetPort: {target}}}]}}
"""
INSIDE = SERVICE.format(name="inside", protocol="http", target=UNDECLARED)
STRICT = f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: back}}
spec: {{selector: {{matchLabels: {{app: back}}}}, mtls: {{mode: STRICT}}, portLevelMtls: {{{UNDECLARED}: {{mode: %s}}}}}}
"""
DENIED = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: back}}
spec: {{action: DENY, selector: {{matchLabels: {{app: back}}}}, rules: [{{to: [{{operation: {{ports: ["{UNDECLARED}"]}}}}]}}]}}
"""


def test_a_service_added_to_a_running_mesh_leads_to_a_port_that_nobody_declared(doors: Doors) -> None:
    doors.write("apply", INSIDE)
    assert doors.statuses("http://inside/") == {"200"}
    body = doors.fetched("front", "http://inside/")
    assert body.startswith(f"{UNDECLARED} "), body
    assert "spiffe://cluster.local/ns/default/sa/front" in body, "by mutual TLS"
    doors.write("delete", INSIDE)
    assert doors.statuses("http://back:9000/") == {"200"}
    assert "200" not in doors.statuses("http://inside/")


def test_no_call_fails_while_a_service_moves_from_port_to_port(doors: Doors) -> None:
    doors.write("apply", INSIDE)
    with doors.load("http://inside/") as load:
        load.started()
        for target in (9000, UNDECLARED) * 3:
            doors.write("apply", SERVICE.format(name="inside", protocol="http", target=target))
            assert doors.fetched("front", "http://inside/").startswith(f"{target} ")
        statuses = load.result()
    assert set(statuses) == {"200"}, statuses


def test_a_tcp_service_leads_to_a_port_that_nobody_declared(doors: Doors) -> None:
    doors.write("apply", SERVICE.format(name="echo", protocol="tcp", target=ECHO))
    code = (
        "import socket; c = socket.create_connection(('echo', 80), 5); c.sendall(b'hello'); print(c.recv(100).decode())"
    )
    assert doors.cli("exec", "front", "--", sys.executable, "-c", code) == "hello\n"


def test_access_rules_hold_on_that_port_and_on_no_other(doors: Doors) -> None:
    doors.write("apply", INSIDE + "---" + DENIED)
    assert doors.statuses("http://inside/") == {"403"}
    assert doors.statuses("http://back:9000/") == {"200"}
    doors.write("delete", DENIED)
    assert doors.statuses("http://inside/") == {"200"}


@pytest.mark.parametrize(("mode", "is_let_in"), [("PERMISSIVE", True), ("STRICT", False)])
def test_mutual_tls_of_that_port_is_its_own(doors: Doors, mode: str, is_let_in: bool) -> None:
    doors.write("apply", INSIDE + "---" + STRICT % mode)
    assert doors.statuses("http://inside/") == {"200"}
    assert plain(doors, UNDECLARED) is is_let_in
    assert not plain(doors, 9000)


def test_a_target_by_a_name_that_nobody_declares_is_told(doors: Doors) -> None:
    said = doors.write("apply", SERVICE.format(name="inside", protocol="http", target="insight"), "target.yaml")
    assert "target.yaml:5:" in said
    assert "no workload behind inside.default.svc.cluster.local has a port insight" in said


def plain(doors: Doors, port: int) -> bool:
    """Whether a caller outside the mesh gets an answer in plain text."""
    try:
        with socket.create_connection((doors.address("back-1"), port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n")
            return b" 200 OK" in connection.recv(1000)
    except ConnectionError:
        return False
