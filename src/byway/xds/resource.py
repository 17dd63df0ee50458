"""A resource of the xDS protocol as bytes: built and hashed once, shared by every proxy whose view is the same."""

from __future__ import annotations

from typing import Self

import msgspec

from byway.base.digest import digest


class Resource(msgspec.Struct, frozen=True):
    """One named resource.

    `any_bytes` is a serialized google.protobuf.Any; `version` is its hash; `requires` names the clusters that it routes to,
    which a proxy must hold before it may get this resource (make before break).
    """

    type_url: str
    name: str
    version: str
    any_bytes: bytes
    requires: tuple[str, ...] = ()

    @classmethod
    def of(cls, type_url: str, name: str, any_bytes: bytes, requires: tuple[str, ...] = ()) -> Self:
        """The resource with its version computed from its bytes."""
        return cls(type_url, name, digest(any_bytes), any_bytes, requires)
