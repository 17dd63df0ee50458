"""Readers: one function for each type that a field can have, from the body's JSON values to typed ones.

A reader gets a value and its path, adds what is wrong to the findings and returns `FAILED` then. Readers never stop
at the first fault. The JSON mapping of protobuf is followed strictly: no text for numbers, no numbers for text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from byway.base.duration import parse_duration
from byway.kinds.finding import Findings
from byway.kinds.labels import shown
from byway.kinds.message import Between, Check, Problem
from byway.kinds.path import child, item
from byway.kinds.scalar import LOOSE_BOOLEANS
from byway.kinds.sharing import shared_map, shared_text
from byway.kinds.suggestion import closest

Reader = Callable[[Any, str, Findings], Any]
FAILED: Final = object()
MAX_TEXT: Final = 16_384


def described(value: Any) -> str:
    """The value's type in the reader's words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {shown(value)}"
        case list():
            return "a list"
        case _:
            return "a mapping"


def mismatch(wanted: str, value: Any, hint: str) -> Problem:
    """A value of another type than wanted."""
    return Problem(code="invalid-type", message=f"expected {wanted}, got {described(value)}", hint=hint)


def text(value: Any, path: str, findings: Findings) -> Any:
    """Text, at most `MAX_TEXT` characters."""
    if isinstance(value, str):
        if len(value) <= MAX_TEXT:
            return shared_text(value)
        problem = Problem(message=f"the text has more than {MAX_TEXT} characters", hint="shorten it")
    elif isinstance(value, (bool, int, float)):
        word = described(value).removeprefix("the number ")
        problem = mismatch("text", value, f'put it in quotes: "{word}"')
    else:
        problem = mismatch("text", value, "write a text")
    findings.add(path, problem)
    return FAILED


def whole(value: Any, path: str, findings: Findings) -> Any:
    """A whole number (5.0 is one)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    hint = "remove the quotes" if isinstance(value, str) and value.isdecimal() else "write a whole number"
    findings.add(path, mismatch("a whole number", value, hint))
    return FAILED


def number(value: Any, path: str, findings: Findings) -> Any:
    """Any number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    findings.add(path, mismatch("a number", value, "write a number without quotes or unit"))
    return FAILED


def truth(value: Any, path: str, findings: Findings) -> Any:
    """True or false; `yes` and `on` are text here."""
    if isinstance(value, bool):
        return value
    hint = "write true or false"
    if isinstance(value, str) and value in LOOSE_BOOLEANS:
        hint = "write true" if value.lower() in ("on", "yes", "y") else "write false"
    findings.add(path, mismatch("true or false", value, hint))
    return FAILED


def span(value: Any, path: str, findings: Findings) -> Any:
    """A duration with its unit."""
    hint = 'write it with a unit, as in "5s" or "250ms"'
    if isinstance(value, str):
        duration = parse_duration(value[:64])
        if duration is not None and len(value) <= 64:
            return duration
        findings.add(path, Problem(message=f"{shown(value)} is no duration", hint=hint))
        return FAILED
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        hint = f'write "{value}s" if seconds are meant'
    findings.add(path, mismatch("a duration", value, hint))
    return FAILED


def whole_or_text(value: Any, path: str, findings: Findings) -> Any:
    """Kubernetes' IntOrString."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    findings.add(path, mismatch("a number or a name", value, "write a port's number or name"))
    return FAILED


def one_of(choices: tuple[str, ...], known: tuple[str, ...]) -> Reader:
    """An enum: `choices` are supported, `known` exist in the API."""
    usable = tuple(choice for choice in choices if choice)

    def read(value: Any, path: str, findings: Findings) -> Any:
        if isinstance(value, str) and value in usable:
            return usable[usable.index(value)]
        if not isinstance(value, str):
            problem = mismatch("one of " + ", ".join(usable), value, "write one of them")
        elif value in known:
            hint = "use one of " + ", ".join(usable)
            problem = Problem(code="unsupported-value", message=f"{value} is not supported yet", hint=hint)
        else:
            problem = Problem(
                code="unknown-value",
                message=f"{shown(value)} is not one of {', '.join(usable)}",
                hint=closest(value, usable),
            )
        findings.add(path, problem)
        return FAILED

    return read


def list_of(element: Reader) -> Reader:
    """A list, as a tuple."""

    def read(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, list):
            findings.add(path, mismatch("a list", value, "begin each element with a hyphen"))
            return FAILED
        elements = []
        for index, entry in enumerate(value):
            elements.append(FAILED if findings.is_full else element(entry, item(path, index), findings))
        return FAILED if FAILED in elements else tuple(elements)

    return read


def map_of(key: Reader, entry: Reader, *, is_plain: bool = False) -> Reader:
    """A mapping with keys of the user's choice; numbers as keys arrive as text.

    `is_plain` says that texts lead to texts or to whole numbers, as labels do: such maps are shared.
    """

    def read(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, dict):
            findings.add(path, mismatch("a mapping", value, "write name: value pairs"))
            return FAILED
        entries: dict[Any, Any] = {}
        for name, content in value.items():
            if findings.is_full:
                return FAILED
            place = child(path, name)
            pair = (key(name, place, findings), entry(content, place, findings))
            entries[pair[0]] = pair[1]
        if FAILED in entries or any(content is FAILED for content in entries.values()):
            return FAILED
        return shared_map(tuple(entries.items())) if is_plain else entries

    return read


def number_key(value: Any, path: str, findings: Findings) -> Any:
    """A map's key that stands for a whole number."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        return int(value)
    findings.add(path, mismatch("a port number as the key", value, "write the number before the colon"))
    return FAILED


def marked(inner: Reader, marks: tuple[object, ...]) -> Reader:
    """The reader, with the marks of `Annotated` applied to what it read."""
    bounds = [mark for mark in marks if isinstance(mark, Between)]
    checks = [mark for mark in marks if isinstance(mark, Check)]

    def read(value: Any, path: str, findings: Findings) -> Any:
        result = inner(value, path, findings)
        if result is FAILED:
            return result
        faults = [(path, problem) for bound in bounds if (problem := _outside(result, bound))]
        faults += [fault for check in checks for fault in _judged(result, path, check)]
        for place, problem in faults:
            findings.add(place, problem)
        return FAILED if faults else result

    return read


def _outside(value: float, bound: Between) -> Problem | None:
    if bound.low <= value <= bound.high:
        return None
    hint = f"use {bound.low:.0f} to {bound.high:.0f}"
    return Problem(code="out-of-range", message=f"{value} is out of range", hint=hint)


def _judged(value: Any, path: str, check: Check) -> list[tuple[str, Problem]]:
    match value:
        case tuple():
            found = ((index, check.problem(element)) for index, element in enumerate(value))
            return [(item(path, index), problem) for index, problem in found if problem]
        case dict():
            judged = ((key, check.problem(key if check.keys else entry)) for key, entry in value.items())
            return [(child(path, key), problem) for key, problem in judged if problem]
        case _:
            problem = check.problem(value)
            return [(path, problem)] if problem else []
