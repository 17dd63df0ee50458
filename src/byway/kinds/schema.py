"""The schema: from a struct's type hints to the reader of its message, made once a type.

Unknown fields are told apart: those that Istio has are `unsupported-field`, others `unknown-field` with what was
probably meant. The rules of a message as a whole are asked only when its fields are sound, and a missing field is not
reported beside one that nobody could read.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from byway.base.duration import Duration
from byway.kinds import reader
from byway.kinds.fields import istio
from byway.kinds.finding import Findings
from byway.kinds.message import Message, Problem
from byway.kinds.path import child
from byway.kinds.reader import FAILED, Reader
from byway.kinds.suggestion import closest

_LEAVES: dict[object, Reader] = {
    str: reader.text, int: reader.whole, float: reader.number, bool: reader.truth, Duration: reader.span,
}  # fmt: skip


class Plan(msgspec.Struct, frozen=True):
    """How a message is read: JSON name → (attribute, reader)."""

    form: type[Message]
    fields: dict[str, tuple[str, Reader]]
    known: frozenset[str]
    """Fields that the API has and Byway does not support yet."""


@functools.cache
def plan(form: type[Message]) -> Plan:
    """The plan of a message's struct."""
    hints = typing.get_type_hints(form, include_extras=True)
    names = {field.name: field.encode_name for field in msgspec.structs.fields(form)}
    facts = istio() if form.MESSAGE else None
    fields = {
        name: (attribute, _reader(hints[attribute], facts.enum_values(form.MESSAGE, name) if facts else ()))
        for attribute, name in names.items()
    }
    known = form.REFUSED.union(facts.fields(form.MESSAGE) if facts else ()) - fields.keys()
    return Plan(form, fields, known)


def _reader(hint: Any, enum_values: tuple[str, ...]) -> Reader:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return reader.marked(_reader(arguments[0], enum_values), arguments[1:])
    if origin in (types.UnionType, typing.Union):
        rest = [argument for argument in arguments if argument is not types.NoneType]
        return _reader(rest[0], enum_values) if len(rest) == 1 else reader.whole_or_text
    if origin is Literal:
        return reader.one_of(arguments, enum_values)
    if origin is tuple:
        return reader.list_of(_reader(arguments[0], enum_values))
    if origin is dict:
        is_plain = _bare(arguments[1]) in (str, int)
        return reader.map_of(_key_reader(arguments[0]), _reader(arguments[1], enum_values), is_plain=is_plain)
    if hint in _LEAVES:
        return _LEAVES[hint]
    assert isinstance(hint, type), f"no reader for {hint}"
    assert issubclass(hint, Message), f"no reader for {hint}"
    return functools.partial(message, hint)


def _key_reader(hint: Any) -> Reader:
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return reader.marked(reader.number_key if _bare(hint) is int else reader.text, marks)


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def message(form: type[Message], value: Any, path: str, findings: Findings) -> Any:
    """The struct that `value` spells, or `FAILED` with the reasons added to the findings."""
    if not isinstance(value, dict):
        findings.add(path, reader.mismatch("a mapping", value, "write name: value pairs"))
        return FAILED
    layout = plan(form)
    attributes: dict[str, Any] = {}
    n_before = len(findings.found)
    for name, content in value.items():
        if findings.is_full:
            return FAILED
        field = layout.fields.get(name)
        if field is None:
            if name not in form.IGNORED:
                findings.add(path, _stray(layout, name))
        elif content is not None:
            attributes[field[0]] = field[1](content, f"{path}.{name}", findings)
    for problem in _shape_problems(form, value, has_faults=len(findings.found) > n_before):
        findings.add(path, problem)
    if FAILED in attributes.values() or (len(findings.found) > n_before and findings.has_errors):
        return FAILED
    result = form(**attributes)
    for problem in result.problems():
        findings.add(path, problem)
    return result


def _stray(layout: Plan, name: str) -> Problem:
    at = child("", name)
    if name in layout.known:
        return Problem(code="unsupported-field", message="is not supported yet", hint=layout.form.WITHOUT, at=at)
    choices = layout.fields.keys() | layout.known
    hint = closest(name, choices) or "remove it"
    return Problem(code="unknown-field", message=f"is no field of {layout.form.__name__}", hint=hint, at=at)


def _shape_problems(form: type[Message], value: Mapping[str, Any], *, has_faults: bool) -> list[Problem]:
    """Fields that exclude one another, that are missing, or that are empty where that misleads."""
    problems: list[Problem] = []
    for group in form.ONEOFS:
        there = [name for name in group if value.get(name) is not None]
        if len(there) > 1:
            hint = f"keep one of {', '.join(there)}"
            problems.append(
                Problem(
                    code="conflicting-fields",
                    message=f"{there[1]} and {there[0]} exclude each other",
                    hint=hint,
                    at=there[1],
                )
            )
    for name in form.NOT_EMPTY:
        if value.get(name) in ([], {}):
            message, hint = "is empty, which would match everything", "fill it or remove it"
            problems += [Problem(message=message, hint=hint, at=name)]
    if not has_faults:
        absent = [name for name in form.REQUIRED if value.get(name) is None or value.get(name) in ("", [], {})]
        problems += [Problem(code="missing-field", message="is missing", hint="add it", at=name) for name in absent]
    return problems
