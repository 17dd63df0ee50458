"""Values of access rules: principals, namespaces, methods, paths, ports. One that could never match is a mistake, and
refused.

A `*` stands at the start or at the end (or alone: anything that is there); elsewhere Istio takes it literally, which
nobody means.
"""

from __future__ import annotations

import re
from typing import Final

from byway.kinds.labels import shown
from byway.kinds.message import Problem

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_METHOD = re.compile(r"\*?[!#$%&'+.^_`|~0-9A-Za-z-]*\*?")
_NAMESPACE = re.compile(r"\*?[-a-z0-9]*\*?")
_TEMPLATE = re.compile(r"\{[^{}/]*\}")


def _wildcard(value: str, what: str) -> Problem | None:
    if not value:
        return Problem(message=f"the {what} is empty, so it matches nothing", hint="write it or remove it")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        return Problem(message=f"{what} {shown(value)} has a control character in it", hint="remove it")
    if "*" in (value[1:-1] if len(value) > 1 else "") or (len(value) > 1 and value[0] == value[-1] == "*"):
        return Problem(
            message=f"{what} {shown(value)} has a wildcard inside", hint="put one * at the start or at the end"
        )
    return None


def principal(value: str) -> Problem | None:
    """An identity without `spiffe://`, as in `cluster.local/ns/default/sa/web`."""
    problem = _wildcard(value, "principal")
    if problem:
        return problem
    if value.startswith("spiffe://"):
        return Problem(
            message=f"principal {shown(value)} would never match", hint=f'write "{value.removeprefix("spiffe://")}"'
        )
    if value.startswith("*") or value.endswith("*"):
        return None
    parts = value.split("/")
    if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa" and all(parts):
        return None
    return Problem(
        message=f"principal {shown(value)} would never match", hint="write it as cluster.local/ns/NAMESPACE/sa/ACCOUNT"
    )


def namespace(value: str) -> Problem | None:
    """The namespace of the caller."""
    problem = _wildcard(value, "namespace")
    if problem or _NAMESPACE.fullmatch(value):
        return problem
    return Problem(
        message=f"namespace {shown(value)} would never match", hint="use lower-case letters, digits and hyphens"
    )


def method(value: str) -> Problem | None:
    """A request method; methods are case-sensitive."""
    problem = _wildcard(value, "method")
    if problem:
        return problem
    if value.upper() in METHODS and value not in METHODS:
        return Problem(message=f"method {shown(value)} would never match", hint=f'write "{value.upper()}"')
    if _METHOD.fullmatch(value):
        return None
    return Problem(message=f"method {shown(value)} would never match", hint="write it as GET")


def path(value: str) -> Problem | None:
    """A path, without query, after Envoy has normalized it."""
    if _TEMPLATE.search(value):
        return Problem(
            code="unsupported-value",
            message=f"path templates as in {shown(value)} are not supported yet",
            hint="use a * at the end",
        )
    problem = _wildcard(value, "path")
    if problem:
        return problem
    if "?" in value or "#" in value:
        return Problem(
            message=f"path {shown(value)} would never match",
            hint="leave out what follows ? or #; only the path is compared",
        )
    if value.startswith(("/", "*")):
        return None
    return Problem(message=f"path {shown(value)} would never match", hint=f'write "/{value}"')


def port(value: str) -> Problem | None:
    """A port of the workload, as text."""
    if value.isascii() and value.isdecimal() and len(value) <= 5 and value[0] != "0" and int(value) <= 65535:
        return None
    return Problem(message=f"{shown(value)} is no port", hint="use 1 to 65535")
