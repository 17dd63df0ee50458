"""HTTP headers as operators write them: names (RFC 9110 tokens), values, and what Envoy would substitute in values.

Source: RFC 9110 5.1 and 5.5; Envoy's command operators (`%DOWNSTREAM_REMOTE_ADDRESS%`) in header values, where a
single `%` is an error. Operators that read the proxy's own files or environment are refused: routes must not publish
what only the proxy may see.
"""

from __future__ import annotations

import re

from byway.kinds.labels import shown
from byway.kinds.message import Problem

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OPERATOR = re.compile(r"%(?:%|([A-Z][A-Z0-9_]*)(?:\([^%]*\))?(?::\d+)?%)?")
_SECRET_OPERATORS = frozenset({"ENVIRONMENT", "FILE_CONTENT"})
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
        if operator[1] in _SECRET_OPERATORS:
            return Problem(message=f"%{operator[1]}% would publish what only the proxy may read", hint="remove it")
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
