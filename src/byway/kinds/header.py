"""HTTP headers as operators write them: names (RFC 9110 tokens), values, and what Envoy would substitute in values.

Source: RFC 9110 5.1 and 5.5; Envoy's command operators (`%DOWNSTREAM_REMOTE_ADDRESS%`) in header values, where a
single `%` is an error (https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter).
Only operators about the request, its response and its connection are taken. Others read the proxy's files, environment or
host, or run an expression or other operators: routes must not publish what only the proxy may see.
"""

from __future__ import annotations

import re

from byway.kinds.labels import shown
from byway.kinds.message import Problem
from byway.kinds.suggestion import near

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OPERATOR = re.compile(
    r"%(?:%|([A-Z][A-Z0-9_]*)(?:\([^%]*\)|\([^()]*\))?(?::[0-9]+)?%)?"
)  # a time's format has % in it
_OF_BOTH_SIDES = """
    LOCAL_ADDRESS LOCAL_ADDRESS_WITHOUT_PORT LOCAL_PORT REMOTE_ADDRESS REMOTE_ADDRESS_WITHOUT_PORT REMOTE_PORT
    PEER_URI_SAN PEER_DNS_SAN PEER_IP_SAN PEER_SUBJECT PEER_ISSUER PEER_CERT
    PEER_CERT_V_START PEER_CERT_V_END LOCAL_URI_SAN LOCAL_DNS_SAN TLS_VERSION TLS_CIPHER
    TRANSPORT_FAILURE_REASON HEADER_BYTES_RECEIVED HEADER_BYTES_SENT WIRE_BYTES_RECEIVED WIRE_BYTES_SENT
"""
_OF_ONE_SIDE = """
    REQ RESP TRAILER QUERY_PARAM PATH PROTOCOL UPSTREAM_PROTOCOL REQUESTED_SERVER_NAME STREAM_ID UNIQUE_ID TRACE_ID
    SPAN_ID START_TIME START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL DURATION COMMON_DURATION REQUEST_DURATION
    REQUEST_TX_DURATION RESPONSE_DURATION RESPONSE_TX_DURATION ROUNDTRIP_DURATION BYTES_RECEIVED BYTES_SENT
    BYTES_RETRANSMITTED RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_FLAGS RESPONSE_FLAGS_LONG GRPC_STATUS
    GRPC_STATUS_NUMBER CONNECTION_ID CONNECTION_TERMINATION_DETAILS ROUTE_NAME VIRTUAL_CLUSTER_NAME UPSTREAM_HOST
    UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID
    UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_CONNECTION_POOL_READY_DURATION DOWNSTREAM_DIRECT_LOCAL_ADDRESS
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS
    DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION
    DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_LOCAL_SUBJECT
"""
_OPERATORS = frozenset(_OF_ONE_SIDE.split()) | {
    f"{side}_{part}" for side in ("DOWNSTREAM", "UPSTREAM") for part in _OF_BOTH_SIDES.split()
}
"""Envoy's command operators about the request, its response and its connection."""
_MAX_VALUE = 8192
MESH_HEADERS = frozenset({"x-byway-source", "x-forwarded-client-cert"})
"""By which sidecars tell each other, and the application, who calls; a route that wrote them would speak for others."""


def header_name(value: str) -> Problem | None:
    """A header's name; pseudo headers such as `:path` have fields of their own."""
    if value.startswith(":"):
        return Problem(
            message=f"{shown(value)} is a pseudo header", hint="use the fields uri, method, authority or rewrite"
        )
    if value.startswith("@request."):
        return Problem(
            code="unsupported-value", message="routing by claims of a token is not supported yet", hint="remove it"
        )
    if _TOKEN.fullmatch(value):
        return None
    return Problem(message=f"{shown(value)} is no header name", hint="use letters, digits and hyphens")


def header_value(value: str) -> Problem | None:
    """A header's value as Envoy takes it: no control characters, `%` only as `%%` or around an operator."""
    problem = authority_value(value)
    if problem:
        return problem
    for operator in _OPERATOR.finditer(value):
        if operator[0] == "%":
            return Problem(message=f"{shown(value)} has a single %", hint="write %% for a percent sign")
        if operator[1] and operator[1] not in _OPERATORS:
            return Problem(
                message=f"%{operator[1][:80]}% says nothing of the request, and could publish what only the proxy may read",
                hint=near(operator[1], _OPERATORS) or "use an operator about the request, such as %REQ(x-name)%",
            )
    return None


def authority_value(value: str) -> Problem | None:
    """A text that ends up in a header as it is (an authority, a path)."""
    if len(value) > _MAX_VALUE:
        return Problem(message=f"the value has more than {_MAX_VALUE} characters", hint="shorten it")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        return Problem(message=f"{shown(value)} has a control character in it", hint="remove line breaks, tabs and NUL")
    return None


def log_path(value: str) -> Problem | None:
    """The file that access logs go to; empty switches them off."""
    if not value or (value.startswith("/") and authority_value(value) is None):
        return None
    return Problem(
        message=f"{shown(value)} is no absolute path", hint="write /dev/stdout, or leave it out for no access log"
    )
