"""Intake: documents that come from a source, read; those that this Byway cannot read are kept apart with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import structlog

from byway.base.diagnostics import Derived, Diagnostic, Severity
from byway.base.digest import digest
from byway.kinds.decode import decode, resource_id
from byway.kinds.document import Document, document_json
from byway.kinds.resource import Resource, ResourceId

_KINDLESS: Final = "unknown"
_log = structlog.get_logger("byway.intake")


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


def incoming(documents: Iterable[Document], ids: Sequence[ResourceId] = ()) -> Incoming:
    """The documents, read; `ids` are theirs as the source has them, none where they are as the documents say.

    It takes long where there are many: it may run in a thread. Whatever a document holds, nothing is raised.
    """
    resources: list[Resource] = []
    unreadable: list[Unreadable] = []
    for n, document in enumerate(documents):
        found = _decoded(document)
        if found.value is not None:
            resources.append(found.value)
        elif found.has_errors:
            first = next(d for d in found.diagnostics if d.severity is Severity.ERROR)
            unreadable.append(Unreadable(ids[n] if ids else identity(document), document, first))
    return Incoming(tuple(resources), tuple(unreadable))


def readable(document: Document) -> Resource | None:
    """The resource, None where it does not decode here; nothing is raised."""
    return _decoded(document).value


def identity(document: Document, default_namespace: str = "") -> ResourceId:
    """The document's id, also where this Byway does not know its kind; without a name it has its content's digest for one."""
    known = resource_id(document)
    if known is not None:
        return known
    meta = document.body.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    name = _text(meta.get("name")) or f"{document.file}#{digest(document_json(document))}"
    return ResourceId(
        _text(document.body.get("kind")) or _KINDLESS, _text(meta.get("namespace")) or default_namespace, name
    )


def _decoded(document: Document) -> Derived[Resource | None]:
    try:
        return decode(document)
    except Exception as fault:  # noqa: BLE001 - there is no author to tell, and others must not wait for it
        _log.exception("document cannot be decoded", file=document.file)
        problem = Diagnostic(
            code="undecodable",
            message=f"Byway fails to decode it: {type(fault).__name__}",
            position=document.position(""),
            hint="see the control plane's log, and report it",
        )
        return Derived(None, (problem,))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
