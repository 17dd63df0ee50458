"""AuthorizationPolicy: who may call what. A value that could never match is refused, since in a DENY it would be an
open door.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from byway.kinds.access import method, namespace, path, port, principal
from byway.kinds.istio.selector import WorkloadSelector
from byway.kinds.message import Check, Message, Problem

Principals = Annotated[tuple[str, ...], Check(principal)]
Namespaces = Annotated[tuple[str, ...], Check(namespace)]
Methods = Annotated[tuple[str, ...], Check(method)]
Paths = Annotated[tuple[str, ...], Check(path)]
Ports = Annotated[tuple[str, ...], Check(port)]


_NARROWER: Final = "without it the rule would match more; say it by principals, namespaces, methods, paths or ports"


class Source(Message, frozen=True, kw_only=True):
    """The caller; all fields that are set must hold. Principals have the form `cluster.local/ns/default/sa/web`."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.Source"
    WITHOUT: ClassVar[str] = _NARROWER

    principals: Principals = ()
    not_principals: Principals = ()
    namespaces: Namespaces = ()
    not_namespaces: Namespaces = ()

    def problems(self) -> Iterator[Problem]:
        """An empty source would be every caller."""
        if self == Source():
            yield Problem(
                message="the source is empty, so it would be every caller", hint="set a field, or remove from"
            )


class Operation(Message, frozen=True, kw_only=True):
    """The request; all fields that are set must hold. Ports are the workload's."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.Operation"
    WITHOUT: ClassVar[str] = _NARROWER

    ports: Ports = ()
    not_ports: Ports = ()
    methods: Methods = ()
    not_methods: Methods = ()
    paths: Paths = ()
    not_paths: Paths = ()

    def problems(self) -> Iterator[Problem]:
        """An empty operation would be every request."""
        if self == Operation():
            yield Problem(
                message="the operation is empty, so it would be every request", hint="set a field, or remove to"
            )


class From(Message, frozen=True, kw_only=True):
    """A wrapper around the source."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.Rule.From"
    REQUIRED: ClassVar[tuple[str, ...]] = ("source",)

    source: Source = Source()


class To(Message, frozen=True, kw_only=True):
    """A wrapper around the operation."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.Rule.To"
    REQUIRED: ClassVar[tuple[str, ...]] = ("operation",)

    operation: Operation = Operation()


class Rule(Message, frozen=True, kw_only=True):
    """Any source and any operation; a rule that names neither matches every request."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.Rule"
    WITHOUT: ClassVar[str] = _NARROWER
    NOT_EMPTY: ClassVar[tuple[str, ...]] = ("from", "to")

    from_: tuple[From, ...] = msgspec.field(default=(), name="from")
    to: tuple[To, ...] = ()


class AuthorizationPolicy(Message, frozen=True, kw_only=True):
    """ALLOW (also when absent) without a rule lets nobody in; a DENY that matches beats every ALLOW."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.AuthorizationPolicy"

    selector: WorkloadSelector | None = None
    rules: tuple[Rule, ...] = ()
    action: Literal["", "ALLOW", "DENY"] = ""

    def problems(self) -> Iterator[Problem]:
        """A DENY without a rule denies nothing."""
        if self.action == "DENY" and not self.rules:
            yield Problem(message="a DENY without rules denies nothing", hint="add rules (one `{}` denies everything)")
