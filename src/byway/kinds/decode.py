"""Document → Resource: the header says which kind, the kind's schema reads the spec, and every mistake is reported at
its place.

A kind of somebody else (Deployment …) is skipped with a note; a kind for a mesh that Byway does not know or not
support yet is an error, since skipping it would change what the operator asked for.
"""

from __future__ import annotations

import difflib
from typing import Any

from byway.base.diagnostics import Derived, Severity
from byway.kinds.document import Document
from byway.kinds.finding import Findings
from byway.kinds.labels import shown
from byway.kinds.message import Message, Problem
from byway.kinds.metadata import Metadata, metadata
from byway.kinds.packing import packed
from byway.kinds.path import child
from byway.kinds.reader import FAILED, mismatch
from byway.kinds.registry import BY_NAME, KINDS, Kind, is_mesh_group, names_in, split_api_version, supported
from byway.kinds.resource import Resource, ResourceId
from byway.kinds.schema import message, plan
from byway.kinds.sharing import shared_text
from byway.kinds.suggestion import closest

_TOP = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_NEAR = 0.85


def decode(document: Document, default_namespace: str = "default") -> Derived[Resource | None]:
    """The typed resource; None where the kind is skipped (a note says so) or the document has an error."""
    findings = Findings()
    kind = _kind(document.body, findings)
    if kind is None:
        return Derived(None, findings.diagnostics(document, ""))
    meta = metadata(document.body, kind, default_namespace, findings)
    _judge_top(document.body, kind, findings)
    body = document.body.get("spec")
    spec: Any = message(kind.spec, {} if body is None else body, "spec", findings)
    identifier = ResourceId(kind.name, meta.namespace, meta.name)
    diagnostics = findings.diagnostics(document, str(identifier) if meta.name else kind.name)
    if spec is FAILED or findings.has_errors:
        return Derived(None, diagnostics)
    return Derived(_resource(document, identifier, meta, spec), diagnostics)


def resource_id(document: Document, default_namespace: str = "default") -> ResourceId | None:
    """The id of a document of a supported kind without decoding it; None where it has none."""
    api_version, name, meta = (document.body.get(key) for key in ("apiVersion", "kind", "metadata"))
    if not isinstance(api_version, str) or not isinstance(name, str) or not isinstance(meta, dict):
        return None
    kind = supported(split_api_version(api_version)[0], name)
    if kind is None or not isinstance(meta.get("name"), str) or not meta["name"]:
        return None
    namespace = meta.get("namespace") or default_namespace
    return ResourceId(kind.name, "" if kind.is_mesh_wide else str(namespace), meta["name"])


def _resource(document: Document, identifier: ResourceId, meta: Metadata, spec: Message) -> Resource:
    return Resource(
        id=identifier,
        api_version=shared_text(document.body["apiVersion"]),
        labels=meta.labels,
        annotations=meta.annotations,
        spec=spec,
        written=packed(document),
    )


def _kind(body: dict[str, Any], findings: Findings) -> Kind | None:
    """The supported kind that the header names; otherwise None, and the findings say why."""
    api_version, name = body.get("apiVersion"), body.get("kind")
    if api_version is None and name is None:
        findings.add("", _headless(body))
        return None
    for field, value in (("apiVersion", api_version), ("kind", name)):
        if value is None or value == "":
            findings.add(field, _missing(field, body))
        elif not isinstance(value, str):
            findings.add(field, mismatch("text", value, "write a text"))
    if findings.found or not isinstance(api_version, str) or not isinstance(name, str):
        return None
    group, version = split_api_version(api_version)
    kind = supported(group, name)
    if kind is None:
        findings.add("kind", _stranger(group, api_version, name))
        return None
    if version not in kind.versions:
        hint = "use one of " + ", ".join(f"{group}/{known}" if group else known for known in kind.versions)
        message = f"{name} has no version {shown(api_version)}"
        findings.add("apiVersion", Problem(code="unknown-version", message=message, hint=hint))
        return None
    return kind


def _stranger(group: str, api_version: str, name: str) -> Problem:
    """What to say of a kind that Byway does not support: a mistake, an unsupported kind, or none of the mesh's
    business.
    """
    known = names_in(group)
    if name in known or (is_mesh_group(group) and not known):
        message = f"{name} ({group}) is not supported yet"
        return Problem(
            code="unsupported-kind", message=message, hint="remove this document, or keep it in a file of its own"
        )
    if is_mesh_group(group) or difflib.get_close_matches(name, known, n=1, cutoff=_NEAR):
        return Problem(
            code="unknown-kind", message=f"{api_version} has no kind {shown(name)}", hint=closest(name, known)
        )
    owner = _owner(group, name)
    if owner:
        message = f"{name} is no kind of {shown(api_version)}"
        return Problem(code="unknown-kind", message=message, hint=f"did you mean apiVersion: {owner}?")
    message = f"{name} ({api_version}) is skipped: it is no kind of the mesh's"
    return Problem(code="skipped-kind", message=message, severity=Severity.INFO)


def _owner(group: str, name: str) -> str:
    """The apiVersion probably meant where a kind of Istio's or Byway's stands under a group much like the right one."""
    groups = {kind.group: kind.api_version for kind in KINDS if kind.name == name and kind.group}
    near = difflib.get_close_matches(group, groups, n=1, cutoff=0.6)
    return groups[near[0]] if near else ""


def _headless(body: dict[str, Any]) -> Problem:
    """A document without apiVersion and kind is perhaps the bare spec of one."""
    fields = set(body)
    if fields:
        for kind in KINDS:
            layout = plan(kind.spec)
            if kind.spec.MESSAGE and fields <= layout.fields.keys() | layout.known:
                message = f"the document has no apiVersion and kind; its fields are those of a {kind.name}'s spec"
                header = f"apiVersion: {kind.api_version}, kind: {kind.name} and metadata: with a name"
                hint = f"write {header}, and put these fields under spec:"
                return Problem(code="missing-field", message=message, hint=hint)
    message = "the document has no apiVersion and kind"
    return Problem(code="missing-field", message=message, hint="every resource begins with apiVersion: and kind:")


def _missing(field: str, body: dict[str, Any]) -> Problem:
    kind = BY_NAME.get(str(body.get("kind")))
    hint = f"write apiVersion: {kind.api_version}" if kind and field == "apiVersion" else "add it"
    return Problem(code="missing-field", message="is missing", hint=hint)


def _judge_top(body: dict[str, Any], kind: Kind, findings: Findings) -> None:
    """Fields beside the spec: a field of the spec that slipped out of it must not be lost."""
    if kind.has_loose_fields:
        return
    for name in body.keys() - _TOP:
        layout = plan(kind.spec)
        is_spec_field = name in layout.fields or name in layout.known
        hint = "put it under spec:" if is_spec_field else closest(name, _TOP)
        findings.add(
            child("", name), Problem(code="unknown-field", message=f"is no field of a {kind.name} document", hint=hint)
        )
