"""The names by which users call a kind."""

from __future__ import annotations

from byway.admin.port import NotFoundError
from byway.kinds.registry import KINDS, Kind

_SHORT_NAMES = {
    "VirtualService": ("vs",),
    "DestinationRule": ("dr",),
    "Gateway": ("gw",),
    "WorkloadEntry": ("we",),
    "PeerAuthentication": ("pa",),
    "AuthorizationPolicy": ("ap",),
    "Service": ("svc",),
    "ServiceAccount": ("sa",),
    "Namespace": ("ns",),
    "MeshConfig": ("mc",),
}


def kind_named(word: str) -> Kind:
    """The kind that a user means: its name, its plural or Istio's short name, in any case."""
    lower = word.lower().partition(".")[0]
    for kind in KINDS:
        name = kind.name.lower()
        if lower in (name, plural(name), *_SHORT_NAMES.get(kind.name, ())):
            return kind
    known = ", ".join(kind.name for kind in KINDS)
    raise NotFoundError(f"there is no kind {word} (there are {known})")


def plural(name: str) -> str:
    """As Kubernetes spells it: policies, but gateways."""
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else f"{name}s"
