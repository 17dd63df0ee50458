"""Gateway: HTTP at the mesh's edge; other protocols are refused aloud."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest


def test_every_supported_field_is_read(reading: Any) -> None:
    spec = reading.spec(
        "Gateway",
        "selector: {istio: ingressgateway}\nservers:\n- name: public\n"
        "  port: {number: 80, name: http, protocol: HTTP}\n  hosts: ['*', blue/docs.example.com, ./a.b, '*/*.c.d']\n",
    )
    (server,) = spec.servers
    assert spec.selector == {"istio": "ingressgateway"}
    assert (server.name, server.port.number, server.port.name, server.port.protocol) == ("public", 80, "http", "HTTP")
    assert server.hosts == ("*", "blue/docs.example.com", "./a.b", "*/*.c.d")


PORT = "port: {number: 80, name: http, protocol: HTTP}"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("[]", "servers is missing (add it)"),
        ("[{hosts: ['*']}]", "servers[0].port is missing (add it)"),
        (f"[{{{PORT}}}]", "servers[0].hosts is missing (add it)"),
        (f"[{{{PORT}, hosts: ['*'], tls: {{mode: SIMPLE}}}}]", "servers[0].tls is not supported yet (remove it)"),
        (f"[{{{PORT}, hosts: ['*'], bind: 10.0.0.1}}]", "servers[0].bind is not supported yet (remove it)"),
        (f"[{{{PORT}, hosts: [A/b]}}]", 'servers[0].hosts[0]: "A/b" has no valid namespace (before the slash stands a namespace, "." or "*")'),
        ("[{port: {number: 443, name: s, protocol: HTTPS}, hosts: ['*']}]", "servers[0].port.protocol: protocol HTTPS is not supported yet (use HTTP)"),
        ("[{port: {number: 443, name: s, protocol: HTTTP}, hosts: ['*']}]", 'servers[0].port.protocol: "HTTTP" is no protocol (did you mean "HTTP"?)'),
        ("[{port: {number: 80, protocol: HTTP}, hosts: ['*']}]", "servers[0].port.name is missing (add it)"),
        (
            f"[{{{PORT}, hosts: [a]}}, {{port: {{number: 81, name: http, protocol: HTTP}}, hosts: [b]}}]",
            'servers[1].port.name: port name "http" is there twice (rename one)',
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_at_its_field(servers: str, expected: str, faults: Any) -> None:
    assert faults("Gateway", f"servers: {servers}") == [f"spec.{expected}"]
