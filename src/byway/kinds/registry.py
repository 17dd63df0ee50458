"""The registry: which kinds there are, under which API versions, and what a document's header asks for."""

from __future__ import annotations

from typing import Final

import msgspec

from byway.kinds.byway.mesh_config import MeshConfig
from byway.kinds.fields import istio
from byway.kinds.istio.authorization_policy import AuthorizationPolicy
from byway.kinds.istio.destination_rule import DestinationRule
from byway.kinds.istio.gateway import Gateway
from byway.kinds.istio.peer_authentication import PeerAuthentication
from byway.kinds.istio.sidecar import Sidecar
from byway.kinds.istio.virtual_service import VirtualService
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.kubernetes.namespace import Namespace
from byway.kinds.kubernetes.service import Service
from byway.kinds.kubernetes.service_account import ServiceAccount
from byway.kinds.message import Message

_NETWORKING: Final = ("v1", "v1beta1", "v1alpha3")
_SECURITY: Final = ("v1", "v1beta1")
GATEWAY_API: Final = "gateway.networking.k8s.io"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that Byway supports; the first version is the one to write."""

    name: str
    group: str
    versions: tuple[str, ...]
    spec: type[Message]
    is_mesh_wide: bool = False
    """It has no namespace."""
    has_loose_fields: bool = False
    """Its fields outside of the spec are not the mesh's business."""

    @property
    def api_version(self) -> str:
        """The apiVersion to write."""
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]


KINDS: Final = (
    Kind(name="VirtualService", group="networking.istio.io", versions=_NETWORKING, spec=VirtualService),
    Kind(name="DestinationRule", group="networking.istio.io", versions=_NETWORKING, spec=DestinationRule),
    Kind(name="Gateway", group="networking.istio.io", versions=_NETWORKING, spec=Gateway),
    Kind(name="Sidecar", group="networking.istio.io", versions=_NETWORKING, spec=Sidecar),
    Kind(name="WorkloadEntry", group="networking.istio.io", versions=_NETWORKING, spec=WorkloadEntry),
    Kind(name="PeerAuthentication", group="security.istio.io", versions=_SECURITY, spec=PeerAuthentication),
    Kind(name="AuthorizationPolicy", group="security.istio.io", versions=_SECURITY, spec=AuthorizationPolicy),
    Kind(name="Service", group="", versions=("v1",), spec=Service),
    Kind(name="ServiceAccount", group="", versions=("v1",), spec=ServiceAccount, has_loose_fields=True),
    Kind(name="Namespace", group="", versions=("v1",), spec=Namespace, is_mesh_wide=True),
    Kind(name="MeshConfig", group="byway.dev", versions=("v1alpha1",), spec=MeshConfig, is_mesh_wide=True),
)
BY_NAME: Final = {kind.name: kind for kind in KINDS}


def split_api_version(api_version: str) -> tuple[str, str]:
    """Group and version; the core group is ""."""
    group, _, version = api_version.rpartition("/")
    return group, version


def supported(group: str, name: str) -> Kind | None:
    """The kind, if Byway supports it in this group."""
    kind = BY_NAME.get(name)
    return kind if kind is not None and kind.group == group else None


def is_mesh_group(group: str) -> bool:
    """Whether a kind of this group is for a mesh, so that it must never be passed over in silence."""
    return group in {"byway.dev", GATEWAY_API} or group == "istio.io" or group.endswith(".istio.io")


def names_in(group: str) -> frozenset[str]:
    """The kinds that the group is known to have, supported or not."""
    return frozenset(kind.name for kind in KINDS if kind.group == group).union(istio().kinds.get(group, ()))
