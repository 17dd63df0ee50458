"""YAML text → Documents, in one pass over libyaml's events, with a place for every field and a limit on everything.

Events, not node trees: depth, size and the expansion of aliases are counted while reading, so a hostile text is
refused before it costs anything. An alias shares the value of its anchor, and is charged with all that it would
expand to. Keys are text (numbers and booleans as keys become text, as in Kubernetes), and no key stands twice.
Several documents may follow one another in a text, `kind: List` is taken apart, and JSON is YAML. What is wrong comes
back as diagnostics at file:line:column; documents without fault come back beside them.
"""

from __future__ import annotations

from typing import Any, Final

import yaml
from yaml.reader import ReaderError

from byway.base.diagnostics import Derived, Diagnostic, Position
from byway.kinds.builder import Builder, Fault
from byway.kinds.document import MAX_BYTES, Document

_HINTS: Final = {
    "cannot start any token": "a tab or a sign that cannot stand here: indent with spaces, quote texts like @this",
    "could not find expected ':'": "a field is written as `name: value`; check the indentation",
    "mapping values are not allowed": "a colon too many: check the indentation, or quote the text",
    "did not find expected": "check the indentation and the brackets around this line",
    "exceeded maximum nesting depth": "no resource is nested that deep; simplify it",
}


def documents(text: str | bytes, file: str) -> Derived[tuple[Document, ...]]:
    """The documents in `text`, without those that have an error, and every error found."""
    try:
        content = _content(text)
    except Fault as fault:
        return Derived((), (fault.diagnostic(file),))
    builder = Builder(file)
    diagnostics: list[Diagnostic] = []
    try:
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            builder.take(event)
    except Fault as fault:
        diagnostics.append(fault.diagnostic(file))
    except ReaderError as error:
        diagnostics.append(_unreadable(error, content, file))
    except yaml.MarkedYAMLError as error:
        diagnostics.append(_malformed(error, file))
    found = [part for document in builder.documents for part in _parts(document)]
    return Derived(tuple(found), (*builder.diagnostics, *diagnostics))


def _content(text: str | bytes) -> str:
    """The text as libyaml takes it, not too large, without a byte order mark."""
    try:
        content = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        before = error.object[: error.start].encode()
        raise _misplaced("the text is no Unicode", "save the file as UTF-8", before) from None
    if len(content) > MAX_BYTES:
        message = f"the file has more than {MAX_BYTES // 1024 // 1024} MiB"
        raise Fault("file-too-large", message, "split it into several files", 1, 1)
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _misplaced("the file is not UTF-8", "save it as UTF-8", content[: error.start]) from None


def _misplaced(message: str, hint: str, before: bytes) -> Fault:
    start = before.rfind(b"\n") + 1
    return Fault(
        "invalid-encoding", message, hint, before.count(b"\n") + 1, len(before[start:].decode(errors="replace")) + 1
    )


def _unreadable(error: ReaderError, content: str, file: str) -> Diagnostic:
    character = error.character if isinstance(error.character, int) else ord(error.character or "\0")
    at = content.find(chr(character)) if character else content.find("\0")
    before = content[: max(at, 0)]
    message = f"a character that YAML does not allow (U+{character:04X})"
    position = Position(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Diagnostic(code="invalid-yaml", message=message, position=position, hint="remove it")


def _malformed(error: yaml.MarkedYAMLError, file: str) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(str(error.problem or error.context or "no YAML").split())
    hint = next((hint for part, hint in _HINTS.items() if part in problem), "check this line and the one before it")
    position = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
    return Diagnostic(code="invalid-yaml", message=f"no valid YAML: {problem[:200]}", position=position, hint=hint)


def _parts(document: Document) -> list[Document]:
    """The items of a `List` (what `kubectl get -o yaml` prints), else the document itself."""
    body: dict[str, Any] = document.body
    items = body.get("items")
    if body.get("apiVersion") != "v1" or body.get("kind") != "List" or not isinstance(items, list):
        return [document]
    if not all(isinstance(entry, dict) for entry in items):
        return [document]
    places: list[dict[str, tuple[int, int]]] = [{} for _ in items]
    for path, place in document.positions.items():
        if path.startswith("items["):
            index, _, rest = path.removeprefix("items[").partition("]")
            places[int(index)][rest.removeprefix(".")] = place
    return [Document(entry, document.file, places[index]) for index, entry in enumerate(items)]
