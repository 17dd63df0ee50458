"""Sidecar: which services the workloads of a namespace, or some of them, may call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec

from byway.kinds.hosts import egress_host
from byway.kinds.istio.selector import Labels
from byway.kinds.message import Check, Message, Problem


class WorkloadSelector(Message, frozen=True, kw_only=True):
    """All labels must match. This is the networking message of the name, not that of policies."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.WorkloadSelector"

    labels: Labels = msgspec.field(default_factory=dict)


class IstioEgressListener(Message, frozen=True, kw_only=True):
    """Services as `namespace/host`; the namespace may be `.` (this one), `*` (any) or `~` (none)."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.IstioEgressListener"
    REQUIRED: ClassVar[tuple[str, ...]] = ("hosts",)

    hosts: Annotated[tuple[str, ...], Check(egress_host)] = ()


class Sidecar(Message, frozen=True, kw_only=True):
    """Without a selector for the whole namespace, in the root namespace for the whole mesh; without egress it limits
    nothing.
    """

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Sidecar"

    workload_selector: WorkloadSelector | None = None
    egress: tuple[IstioEgressListener, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Several listeners are for several ports, which are not supported yet."""
        if len(self.egress) > 1:
            hint = "put all hosts into one"
            yield Problem(message="only one egress listener may be without a port", hint=hint, at="egress[1]")
