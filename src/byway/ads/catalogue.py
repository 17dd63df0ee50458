"""What a stream of discovery reads: the catalogue of resources as one proxy may see them.

The catalogue is the only seam between the protocol and the mesh. A session asks it by name, and learns from each answer
the key under which a later change of that answer will be published. Answers are pure values: the same question between
two publications has the same answer, and identical proxies share one resource (and one byte string).

Rules that bind every catalogue, each because Envoy is as it is:
- A cluster whose endpoints come over EDS has a ClusterLoadAssignment of the cluster's name (an empty one where it has
  no endpoint); a cluster of another kind has none. This is how a session knows for what a route has to wait.
- A virtual host's own name (in its body) is its resource's name: Envoy removes by the one what it added by the other.
- Every spelling of a host that one virtual host serves gives one resource, of one name: two virtual hosts that share a
  domain refuse each other. (That name may be any one under `out/`; the spelling asked for is sent as an alias.)
- What a route requires exists: `lookup` of every cluster in `requires` gives a resource. Envoy's static clusters are
  not resources, and belong in no `requires`.
- `lookup` of the virtual host `PLACEHOLDER` always gives a resource: it opens the subscription to virtual hosts.
- `lookup` of a cluster asked for on demand (`tcp|ip:port`) always gives a cluster, if need be one without endpoints.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from byway.xds.resource import Resource

Key: TypeAlias = Hashable
"""Names something whose change is published; opaque to the protocol."""

PLACEHOLDER: Final = "out/placeholder"
"""The virtual host that answers an empty first subscription; without one a listener stays uninitialised."""


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy as admitted: its identity is the certificate's, the rest is what the mesh knows of that instance."""

    instance: str
    namespace: str
    identity: str  # spiffe://…
    kind: Literal["sidecar", "router", "grpc"] = "sidecar"  # `grpc`: a client of the gRPC library, without a proxy
    epoch: str = ""  # changes with each start of the process


class Refusal(msgspec.Struct, frozen=True):
    """Why a peer is not admitted."""

    reason: str


class Lookup(msgspec.Struct, frozen=True):
    """An answer, and the key under which its change is published. No resource: the mesh has no such thing."""

    key: Key
    resource: Resource | None = None


class Offer(msgspec.Struct, frozen=True):
    """What a proxy holds of other services without having asked for it, and the key under which a change of that is published.

    Virtual hosts go by their resources' own names.
    """

    key: Key
    clusters: tuple[str, ...] = ()
    virtual_hosts: tuple[str, ...] = ()


class Catalogue(Protocol):
    """The resources of the mesh, as each proxy may see them."""

    def admit(self, peer: str, node_id: str, metadata: Mapping[str, str]) -> Proxy | Refusal:
        """The proxy `node_id`, if the certificate's SPIFFE id `peer` may speak for it."""

    def listeners(self, proxy: Proxy) -> tuple[str, ...]:
        """The names on the wildcard subscription to listeners."""

    def clusters(self, proxy: Proxy) -> tuple[str, ...]:
        """The names always on the wildcard subscription to clusters, besides what held routes require."""

    def lookup(self, proxy: Proxy, type_url: str, name: str) -> Lookup:
        """The resource `name` as `proxy` may see it."""

    def roots(self, proxy: Proxy) -> Key:
        """The key whose change means that `listeners` or `clusters` may differ."""

    def offer(self, proxy: Proxy) -> Offer:
        """What `proxy` always holds besides, where discovery is eager: it is sent what joins this, and loses what leaves it."""

    def known(self, proxy: Proxy) -> tuple[tuple[str, str], ...]:
        """Type and name of the virtual hosts and on-demand clusters that `proxy` is to hold before it asks.

        Read once, when the proxy's process starts, so a later difference is no change of the mesh. A name that `lookup` does
        not know is passed over.
        """

    def asked(self, proxy: Proxy, type_url: str, name: str) -> None:
        """`proxy` asked on demand for this resource, which there is; it may be `known` from its next start on."""

    async def settled(self) -> None:
        """Returns at once, unless a proposal is being proved: then once it is decided."""
