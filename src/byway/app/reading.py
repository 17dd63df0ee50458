"""Reading: what the files of a write hold. An apply needs whole resources; a delete only needs to know which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from byway.admin.port import SourceText
from byway.app.intake import identity
from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.decode import decode, resource_id
from byway.kinds.document import Document
from byway.kinds.finding import Findings
from byway.kinds.metadata import metadata
from byway.kinds.registry import BY_NAME
from byway.kinds.resource import Resource, ResourceId
from byway.kinds.text import documents
from byway.sources.admission import with_namespace

_IDENTITY = ("name", "namespace")


class Read(msgspec.Struct, frozen=True):
    """What a write holds: resources, those that cannot be read, and what was found in their text."""

    resources: tuple[Resource, ...]
    diagnostics: tuple[Diagnostic, ...]
    unreadable: tuple[ResourceId, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether nothing found forbids the write."""
        return _is_usable(self.diagnostics)


class Named(msgspec.Struct, frozen=True):
    """Which resources a delete is for, each once and with the document that names it."""

    documents: dict[ResourceId, Document]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def is_usable(self) -> bool:
        """Whether nothing found forbids the delete."""
        return _is_usable(self.diagnostics)


def read(sources: Sequence[SourceText], namespace: str) -> Read:
    """The resources in some files, all mistakes of all files together."""
    found: dict[ResourceId, Resource] = {}
    unreadable: list[ResourceId | None] = []
    diagnostics: list[Diagnostic] = []
    for source in sources:
        parsed = documents(source.text, source.file)
        diagnostics.extend(parsed.diagnostics)
        for document in parsed.value:
            # An object's status is what the mesh says of it; one that was printed and is applied again still has it.
            decoded = decode(with_namespace(document.without("status"), namespace), namespace)
            diagnostics.extend(decoded.diagnostics)
            if decoded.value is not None:
                diagnostics.extend(_twice(decoded.value, found))
                found.setdefault(decoded.value.id, decoded.value)
            elif not _is_usable(decoded.diagnostics):
                unreadable.append(resource_id(document, namespace))
    if not found and not diagnostics:
        diagnostics.append(_empty(sources))
    lost = tuple(dict.fromkeys(i for i in unreadable if i is not None and i not in found))
    return Read(tuple(found.values()), tuple(diagnostics), lost)


def named(sources: Sequence[SourceText], namespace: str, held: Mapping[ResourceId, Document] = {}) -> Named:
    """The resources that some files name; what else is written in them is not judged.

    Of what is `held` in quarantine the kind may be unknown, and the name one that cannot be written.
    """
    found: dict[ResourceId, Document] = {}
    diagnostics: list[Diagnostic] = []
    for source in sources:
        parsed = documents(source.text, source.file)
        diagnostics.extend(parsed.diagnostics)
        for document in parsed.value:
            identifier = resource_id(document, namespace)
            strange = _held(document, identifier, namespace, held)
            if strange is not None:
                found.setdefault(strange, document)
                continue
            if identifier is None:
                diagnostics.extend(decode(document, namespace).diagnostics)
                continue
            diagnostics.extend(_misnamed(document, identifier, namespace))
            found.setdefault(identifier, document)
    if not found and not diagnostics:
        diagnostics.append(_empty(sources))
    return Named(found, tuple(diagnostics))


def _held(
    document: Document, identifier: ResourceId | None, namespace: str, held: Mapping[ResourceId, Document]
) -> ResourceId | None:
    """Which of those held it names, by what it says or, where it says nothing that could be read, by being the same."""
    wanted = (identifier, identity(document), identity(document, namespace))
    return next((i for i in wanted if i in held), None) or next(
        (i for i, stored in held.items() if identifier is None and stored.body == document.body), None
    )


def _misnamed(document: Document, identifier: ResourceId, namespace: str) -> tuple[Diagnostic, ...]:
    """What is wrong with the name and the namespace themselves."""
    written = {key: value for key, value in document.body["metadata"].items() if key in _IDENTITY}
    findings = Findings()
    metadata({**document.body, "metadata": written}, BY_NAME[identifier.kind], namespace, findings)
    return findings.diagnostics(document, str(identifier))


def _is_usable(diagnostics: Sequence[Diagnostic]) -> bool:
    return all(diagnostic.severity is not Severity.ERROR for diagnostic in diagnostics)


def _empty(sources: Sequence[SourceText]) -> Diagnostic:
    return Diagnostic(
        code="no-resource",
        message=f"there is no resource in {', '.join(source.file for source in sources) or 'what was sent'}",
        hint="name a file that has one",
    )


def _twice(resource: Resource, found: Mapping[ResourceId, Resource]) -> list[Diagnostic]:
    earlier = found.get(resource.id)
    if earlier is None:
        return []
    diagnostic = Diagnostic(
        code="resource-twice",
        message=f"{resource.id} is written twice in one apply, first at {earlier.position('metadata.name')}",
        position=resource.position("metadata.name"),
        hint="keep one of them",
        subject=str(resource.id),
    )
    return [diagnostic]
