"""Resource: an object of the mesh, decoded and typed, and its id."""

from __future__ import annotations

from typing import Any

import msgspec

from byway.base.diagnostics import Position
from byway.kinds.document import Document
from byway.kinds.packing import unpacked


class ResourceId(msgspec.Struct, frozen=True, order=True, gc=False):
    """What tells resources apart, whatever the version of their API; kinds of the whole mesh have the namespace ""."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Resource(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`spec` is the struct of the kind's own module (VirtualService, Service …), a `Message`; `id.kind` says which.

    `written` is its document, packed: resources are many, and few are ever printed.
    """

    id: ResourceId
    api_version: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Any
    written: bytes

    @property
    def document(self) -> Document:
        """The document as it was written, unpacked anew each time."""
        return unpacked(self.written)

    def position(self, path: str) -> Position:
        """Where the field stands in its file, or the nearest thing above it."""
        return self.document.position(path)
