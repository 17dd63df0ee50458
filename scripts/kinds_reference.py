"""The reference of the kinds: every field path that Byway reads, from the registry and the message structs themselves."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from inspect import getdoc
from typing import Annotated, Any, Literal

import msgspec

from byway.app.meshfile import MeshFile
from byway.base.duration import Duration
from byway.kinds.istio.workload_entry import WorkloadEntry
from byway.kinds.message import Between, Message
from byway.kinds.registry import KINDS, Kind
from byway.kinds.schema import plan
from byway.model.names import (
    ANNOTATION_APP_PORTS,
    ANNOTATION_DISCOVERY,
    ANNOTATION_INTERCEPTION,
    ANNOTATION_NODE,
    ANNOTATION_OUTBOUND_PORT,
)

_LEAVES = {str: "text", int: "whole number", float: "number", bool: "true or false", Duration: "duration"}
_UNSET: tuple[object, ...] = (None, "", 0, (), {})  # in Istio's messages 0 is "not set"


class Row(msgspec.Struct, frozen=True):
    """A field as the reference shows it; `default` is empty where leaving it out means that nothing is set."""

    path: str
    type: str
    default: str
    notes: str


def kinds_reference() -> str:
    """Every kind, then the mesh file."""
    parts = [_HEAD, "\n".join(f"- [{kind.name}](#{kind.name.lower()})" for kind in KINDS)]
    parts.append("- [byway.yaml](#byway-yaml)\n")
    parts += [_kind_part(kind) for kind in KINDS]
    example = (getdoc(_module_of(MeshFile)) or "").partition("\n\n")[0]
    parts.append(f'<a id="byway-yaml"></a>\n\n## The mesh file\n\n{example}\n\n{_fields_part(MeshFile, "")}')
    return "\n".join(parts)


def rows(form: type[Message], path: str) -> Iterator[Row]:
    """The fields of a message below `path` and those of the messages in it, in the order of the code."""
    hints = typing.get_type_hints(form, include_extras=True)
    for field in msgspec.structs.fields(form):
        at = f"{path}.{field.encode_name}" if path else field.encode_name
        yield Row(at, _type(hints[field.name]), _default(field), "; ".join(_notes(form, field.encode_name, hints)))
        inner, suffix = _inside(hints[field.name])
        if inner is not None:
            yield from rows(inner, at + suffix)


def _kind_part(kind: Kind) -> str:
    versions = ", ".join(f"`{kind.group}/{version}`" if kind.group else f"`{version}`" for version in kind.versions)
    scope = "It has no namespace; one that is written is passed over." if kind.is_mesh_wide else ""
    lines = [f"## {kind.name}\n", f"apiVersion: {versions}. {scope}".strip() + "\n", f"{_said(kind.spec)}\n"]
    annotations = [_ANNOTATED, *(f"| `{name}` | {said} |" for name, said in _ANNOTATIONS.items()), ""]
    extra = "\n".join(["", *annotations]) if kind.spec is WorkloadEntry else ""
    return "\n".join(lines) + "\n" + _fields_part(kind.spec, "spec") + extra


def _fields_part(form: type[Message], path: str) -> str:
    found = list(rows(form, path))
    lines = ["| Field | Type | Default | Notes |", "|---|---|---|---|"] if found else ["It has no fields."]
    lines += [f"| `{row.path}` | {row.type} | {row.default} | {row.notes} |" for row in found]
    for title, names in (("Passed over", _ignored(form, path)), ("Refused as not supported yet", _refused(form, path))):
        if names:
            lines += ["", f"{title}: {', '.join(f'`{name}`' for name in names)}."]
    return "\n".join(lines) + "\n"


def _ignored(form: type[Message], path: str) -> list[str]:
    return [f"{at}.{name}" for at, inner in _messages(form, path) for name in sorted(inner.IGNORED)]


def _refused(form: type[Message], path: str) -> list[str]:
    return [f"{at}.{name}" for at, inner in _messages(form, path) for name in sorted(plan(inner).known - inner.IGNORED)]


def _messages(form: type[Message], path: str) -> Iterator[tuple[str, type[Message]]]:
    """The message and those in it, each with its path."""
    yield path, form
    hints = typing.get_type_hints(form, include_extras=True)
    for field in msgspec.structs.fields(form):
        inner, suffix = _inside(hints[field.name])
        if inner is not None:
            yield from _messages(inner, (f"{path}.{field.encode_name}" if path else field.encode_name) + suffix)


def _inside(hint: Any) -> tuple[type[Message] | None, str]:
    """The message that a field holds, behind lists and maps, and what its fields' paths have after the field's name."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _inside(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return _inside(next(argument for argument in arguments if argument is not types.NoneType))
    if origin in (tuple, dict):
        inner, suffix = _inside(arguments[0] if origin is tuple else arguments[1])
        return inner, ("[]" if origin is tuple else ".NAME") + suffix
    return (hint, "") if isinstance(hint, type) and issubclass(hint, Message) else (None, "")


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(argument) for argument in arguments if argument is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments if choice)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    return _LEAVES.get(hint) or str(hint.__name__)


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is msgspec.NODEFAULT or isinstance(value, Message) or value in _UNSET:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _notes(form: type[Message], name: str, hints: dict[str, Any]) -> Iterator[str]:
    if name in form.REQUIRED:
        yield "required"
    attribute = plan(form).fields[name][0]
    yield from (f"{bound.low:g} to {bound.high:.12g}" for bound in _bounds(hints[attribute]))
    others = dict.fromkeys(other for group in form.ONEOFS if name in group for other in group if other != name)
    if others:
        yield f"not together with {', '.join(f'`{other}`' for other in others)}"


def _bounds(hint: Any) -> list[Between]:
    if typing.get_origin(hint) is Annotated:
        return [mark for mark in typing.get_args(hint)[1:] if isinstance(mark, Between)] + _bounds(
            typing.get_args(hint)[0]
        )
    is_choice = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return [bound for part in typing.get_args(hint) for bound in _bounds(part)] if is_choice else []


def _said(form: type[Message]) -> str:
    """What the code says of the kind: its module's first sentence, after the name."""
    sentence = (getdoc(_module_of(form)) or "").partition("\n\n")[0].replace("\n", " ")
    said = sentence.partition(": ")[2] or sentence
    return said[:1].upper() + said[1:]


def _module_of(form: type[Message]) -> types.ModuleType:
    from importlib import import_module

    return import_module(form.__module__)


_ANNOTATIONS = {
    ANNOTATION_DISCOVERY: "`eager` or `lazy`: when its sidecar is told of a service; without it, as the MeshConfig says",
    ANNOTATION_INTERCEPTION: "`iptables` (without it), `explicit` or `none`: how its traffic comes to its sidecar",
    ANNOTATION_APP_PORTS: "`NAME=PORT,…`: where the application itself listens, where that is not the port in `spec.ports`",
    ANNOTATION_OUTBOUND_PORT: "the sidecar's port for outbound calls where it is `explicit`",
    ANNOTATION_NODE: "the host whose agent runs it; only that one gets its certificate",
}

_ANNOTATED = """Annotations, in `metadata.annotations`. `byway up` and `byway plan` write them; the first one is for you as well.

| Annotation | Meaning |
|---|---|"""

_HEAD = """# Kinds

Made from the code by `make docs`.

Every kind that `byway apply` takes, under which apiVersions, and every field of it that Byway reads. Names and meanings are
Istio's and Kubernetes'; a field of theirs that is not here is refused with its line, never passed over in silence, except
for those that are listed as passed over. The first apiVersion is the one to write. `[]` stands for each element of a list,
`NAME` for each key of a map. Without a default, a field that is left out sets nothing.
"""
