"""Metadata: an object's name, namespace, labels and annotations; what servers add to it (uid, resourceVersion …) is
passed over.
"""

from __future__ import annotations

from typing import Any

import msgspec

from byway.kinds import reader
from byway.kinds.finding import Findings
from byway.kinds.labels import dns_label, dns_name, label_key, label_value, shown
from byway.kinds.message import Check, Problem
from byway.kinds.path import child
from byway.kinds.reader import FAILED
from byway.kinds.registry import Kind
from byway.kinds.sharing import shared_map

_LABEL_NAMED = frozenset({"Service", "Namespace"})
"""Kinds whose name becomes one label of a DNS name."""
_SERVER_FIELDS = frozenset(
    {
        "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "managedFields", "ownerReferences", "finalizers", "selfLink", "clusterName",
    }
)  # fmt: skip
_labels = reader.marked(
    reader.map_of(reader.text, reader.text, is_plain=True), (Check(label_key, keys=True), Check(label_value))
)
_annotations = reader.marked(reader.map_of(reader.text, reader.text), (Check(label_key, keys=True),))
_READERS = {"name": reader.text, "namespace": reader.text, "labels": _labels, "annotations": _annotations}


class Metadata(msgspec.Struct, frozen=True):
    """The part of it that the mesh reads."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=shared_map)
    annotations: dict[str, str] = msgspec.field(default_factory=shared_map)


def metadata(body: dict[str, Any], kind: Kind, default_namespace: str, findings: Findings) -> Metadata:
    """The document's metadata; what is wrong with it goes to the findings."""
    value = body.get("metadata")
    if not isinstance(value, dict):
        problem = Problem(code="missing-field", message="is missing", hint="add metadata: with a name: in it")
        findings.add(
            "metadata", problem if value is None else reader.mismatch("a mapping", value, "write name: value pairs")
        )
        return Metadata()
    known: dict[str, Any] = {}
    for field, content in value.items():
        if field in _READERS and content is not None:
            read = _READERS[field](content, f"metadata.{field}", findings)
            if read is not FAILED:
                known[field] = read
        elif field not in _READERS and field not in _SERVER_FIELDS:
            findings.add("metadata", _stray(field))
    _judge_name(value, known.get("name", ""), kind, findings)
    if kind.is_mesh_wide:
        known["namespace"] = ""
    elif not known.get("namespace"):
        known["namespace"] = default_namespace
    else:
        _judge(dns_label(known["namespace"]), "metadata.namespace", findings)
    return Metadata(**known)


def _judge_name(value: dict[str, Any], name: str, kind: Kind, findings: Findings) -> None:
    if name:
        _judge((dns_label if kind.name in _LABEL_NAMED else dns_name)(name), "metadata.name", findings)
    elif value.get("name") in (None, "") and "generateName" not in value:
        findings.add("metadata.name", Problem(code="missing-field", message="is missing", hint="add it"))


def _judge(problem: Problem | None, path: str, findings: Findings) -> None:
    if problem:
        findings.add(path, problem)


def _stray(field: str) -> Problem:
    if field == "generateName":
        return Problem(
            code="unsupported-field",
            message="is not supported",
            hint="write name:, so that applying twice changes nothing",
            at=field,
        )
    at = child("", field)
    hint = f"did you mean an annotation or a label? Put {shown(field)} under annotations: or labels:"
    return Problem(code="unknown-field", message="is no field of metadata", hint=hint, at=at)
