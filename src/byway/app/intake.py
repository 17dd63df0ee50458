"""Intake: documents that come from a source, read; those that this Byway cannot read are kept apart with the reason."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.decode import decode, resource_id
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId


class Unreadable(msgspec.Struct, frozen=True):
    """A document that does not decode here; an object of a kind that is not known here has the kind that it names."""

    id: ResourceId
    document: Document
    diagnostic: Diagnostic


class Incoming(msgspec.Struct, frozen=True):
    """What a source gave."""

    resources: tuple[Resource, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def ids(self) -> frozenset[ResourceId]:
        """Every object that is in it."""
        return frozenset((*(r.id for r in self.resources), *(u.id for u in self.unreadable)))


def incoming(documents: Iterable[Document]) -> Incoming:
    """The documents, read. It takes long where there are many: it may run in a thread."""
    resources: list[Resource] = []
    unreadable: list[Unreadable] = []
    for document in documents:
        found = decode(document)
        if found.value is not None:
            resources.append(found.value)
        elif found.has_errors:
            first = next(d for d in found.diagnostics if d.severity is Severity.ERROR)
            unreadable.append(Unreadable(_id(document), document, first))
    return Incoming(tuple(resources), tuple(unreadable))


def _id(document: Document) -> ResourceId:
    known = resource_id(document)
    if known is not None:
        return known
    meta = document.body.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    return ResourceId(
        str(document.body.get("kind", "")), str(meta.get("namespace") or ""), str(meta.get("name") or document.file)
    )
