"""Losses: what a store keeps a name of and nothing else; it is held in quarantine like whatever cannot be read."""

from __future__ import annotations

from collections.abc import Mapping

from byway.app.intake import Unreadable
from byway.base.diagnostics import Diagnostic
from byway.kinds.document import Document
from byway.kinds.resource import ResourceId


def losses(damaged: Mapping[ResourceId, Diagnostic]) -> tuple[Unreadable, ...]:
    """See `Snapshot.damaged`. Each has a document of the names alone: without an apiVersion, it never decodes."""
    return tuple(Unreadable(i, _named(i), diagnostic) for i, diagnostic in damaged.items())


def _named(resource_id: ResourceId) -> Document:
    namespace = {"namespace": resource_id.namespace} if resource_id.namespace else {}
    return Document({"kind": resource_id.kind, "metadata": {"name": resource_id.name, **namespace}})
