"""PeerAuthentication: whether callers must come with a certificate of the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import msgspec

from byway.kinds.istio.selector import WorkloadSelector
from byway.kinds.message import Message, Port, Problem


class MutualTLS(Message, frozen=True, kw_only=True):
    """UNSET (or absent) inherits from the namespace, then from the mesh."""

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.PeerAuthentication.MutualTLS"

    mode: Literal["", "UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = ""


class PeerAuthentication(Message, frozen=True, kw_only=True):
    """For one workload (selector), one namespace (none), or the mesh (none, in the root namespace); ports are the
    workload's.
    """

    MESSAGE: ClassVar[str] = "istio.security.v1beta1.PeerAuthentication"

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[Port, MutualTLS] = msgspec.field(default_factory=dict)

    def problems(self) -> Iterator[Problem]:
        """A port is a workload's, so there must be one."""
        if self.port_level_mtls and not (self.selector and self.selector.match_labels):
            yield Problem(message="portLevelMtls needs a workload", hint="add selector.matchLabels", at="portLevelMtls")
