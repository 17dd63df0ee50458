"""The names of what is made in the host's network, all derived from the mesh's and the instance's name.

Linux allows 15 characters for a link, 28 for an iptables chain; digests keep within that and tell two meshes apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from byway.base.digest import digest

NAMESPACE_DIRECTORY: Final = Path("/run/netns")
WORKLOAD_LINK: Final = "eth0"


def mesh_tag(mesh: str) -> str:
    """Six characters that stand for the mesh."""
    return digest(mesh.encode())[:6]


def bridge_name(mesh: str) -> str:
    """The bridge that joins the mesh's namespaces."""
    return f"bw-{mesh_tag(mesh)}"


def link_prefix(mesh: str) -> str:
    """What the names of all host ends of the mesh's veth pairs start with."""
    return f"bv{mesh_tag(mesh)}"


def link_name(mesh: str, instance: str) -> str:
    """The host end of an instance's veth pair."""
    return link_prefix(mesh) + digest(instance.encode())[:7]


def namespace_name(mesh: str, instance: str) -> str:
    """The network namespace of an instance, as `ip netns` lists it."""
    return f"byway-{mesh}-{instance}"


def namespace_path(namespace: str) -> Path:
    """The file that stands for a namespace."""
    return NAMESPACE_DIRECTORY / namespace


def chain_prefix(mesh: str) -> str:
    """What the names of the mesh's chains in the host's tables start with."""
    return f"BYWAY-{mesh_tag(mesh).upper()}"
