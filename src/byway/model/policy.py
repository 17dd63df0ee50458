"""Who may call a workload, and how the call must be secured."""

from __future__ import annotations

import enum

import msgspec


class MutualTls(enum.Enum):
    """What a workload accepts."""

    STRICT = "strict"
    PERMISSIVE = "permissive"
    DISABLE = "disable"


class PeerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one object demands of callers; `mode` None where it leaves that to the wider one."""

    source: str
    mode: MutualTls | None
    ports: tuple[tuple[int, MutualTls | None], ...] = ()


class AccessSource(msgspec.Struct, frozen=True, kw_only=True):
    """Callers: patterns with at most one `*`, at the start or the end; all that are not empty must hold."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()


class AccessOperation(msgspec.Struct, frozen=True, kw_only=True):
    """Calls; all that are not empty must hold. Ports are the workload's own."""

    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    not_ports: tuple[int, ...] = ()

    @property
    def is_http(self) -> bool:
        """Whether it asks for something that only an HTTP request has."""
        return bool(self.methods or self.not_methods or self.paths or self.not_paths)


class AccessRule(msgspec.Struct, frozen=True):
    """Any of `sources` (none: everybody) doing any of `operations` (none: everything)."""

    sources: tuple[AccessSource, ...] = ()
    operations: tuple[AccessOperation, ...] = ()


class AccessPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One object's rules. A policy without rules matches nothing: as ALLOW it denies all, as DENY nothing."""

    source: str
    is_deny: bool
    rules: tuple[AccessRule, ...]


class Access(msgspec.Struct, frozen=True):
    """All that applies to one workload: a call must match no `deny`, and, where any `allow` exists, one of them."""

    deny: tuple[AccessPolicy, ...] = ()
    allow: tuple[AccessPolicy, ...] = ()

    @property
    def reads_paths(self) -> bool:
        """Whether any rule looks at the request's path."""
        operations = (o for p in (*self.deny, *self.allow) for r in p.rules for o in r.operations)
        return any(o.paths or o.not_paths for o in operations)
