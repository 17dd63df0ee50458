"""A change of what a workload demands of its callers fails no call of the mesh, and ends those that it forbids."""

from __future__ import annotations

import http.client
import socket
import time

import pytest

from tests.real.policy.conftest import ECHO, Doors

BACK = "http://back:9000/"
POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: back}
spec: {selector: {matchLabels: {app: back}}, mtls: {mode: %s}}
"""
MESH_WIDE = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: %s}}
"""
TCP = f"""
apiVersion: v1
kind: Service
metadata: {{name: echo}}
spec: {{selector: {{app: back}}, ports: [{{name: tcp, port: {ECHO}}}]}}
"""


def calls_by_mutual_tls(doors: Doors) -> bool:
    return "spiffe://" in doors.fetched("front", BACK)


@pytest.mark.parametrize(
    ("policy", "modes"),
    [
        (POLICY, ("PERMISSIVE", "STRICT", "DISABLE", "STRICT")),
        (POLICY, ("DISABLE", "PERMISSIVE", "DISABLE", "STRICT")),
        (POLICY, ("STRICT", "DISABLE") * 4),
        (MESH_WIDE, ("PERMISSIVE", "STRICT", "DISABLE", "STRICT")),
    ],
)
def test_no_call_fails_while_the_mode_changes(doors: Doors, policy: str, modes: tuple[str, ...]) -> None:
    with doors.load(BACK) as load:
        load.started()
        for mode in modes:
            doors.write("apply", policy % mode)
            assert calls_by_mutual_tls(doors) is (mode != "DISABLE")
        doors.write("delete", policy % "")
        assert calls_by_mutual_tls(doors)
        statuses = load.result()
    assert set(statuses) == {"200"}, statuses
    assert statuses["200"] > 200


def test_an_open_plain_connection_carries_no_call_once_mutual_tls_is_demanded(doors: Doors) -> None:
    doors.write("apply", POLICY % "PERMISSIVE")
    connection = http.client.HTTPConnection(doors.address("back-1"), 9000, timeout=10)
    assert status(connection) == 200
    assert status(connection) == 200
    doors.write("apply", POLICY % "STRICT")
    assert connection.sock is not None
    began = time.monotonic()
    assert status(connection) in (0, 403)
    assert time.monotonic() - began < 2
    assert status(connection) == 0, "and it is closed"


def test_an_open_plain_tcp_connection_is_ended_within_the_time_of_draining(doors: Doors) -> None:
    doors.write("apply", TCP + "---" + POLICY % "PERMISSIVE")
    with socket.create_connection((doors.address("back-1"), ECHO), 10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
        doors.write("apply", POLICY % "STRICT")
        assert connection.recv(100) == b"", "ended by the server's side"


def status(connection: http.client.HTTPConnection) -> int:
    """The status of one more call on this connection, 0 where there is none."""
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
    except (ConnectionError, http.client.HTTPException):
        return 0
    return response.status
