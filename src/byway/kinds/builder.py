"""The builder: a stack machine that takes YAML events one by one and leaves documents behind.

Each open mapping or list is a frame on the stack. A frame knows its path, so the place of a field is written down the
moment that its key is read. An error inside one document drops that document only; limits and broken syntax end the
reading.
"""

from __future__ import annotations

# errors are named for what happened, without a suffix
from typing import Any, Final

import msgspec
import yaml

from byway.base.diagnostics import Diagnostic, Position
from byway.kinds.document import Document
from byway.kinds.labels import shown
from byway.kinds.path import child, item
from byway.kinds.scalar import OutOfRange, plain_scalar

MAX_DIAGNOSTICS: Final = 100
MAX_DEPTH: Final = 64
MAX_NODES: Final = 200_000
MAX_CHARACTERS: Final = 8 * 1024 * 1024
_HEAD: Final = frozenset({"apiVersion", "kind"})
_NO_KEY: Final = object()
_TAG = "tag:yaml.org,2002:"


class Fault(Exception):
    """The text cannot be read any further."""

    def __init__(self, code: str, message: str, hint: str, line: int, column: int) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.line, self.column = code, message, hint, line, column

    def diagnostic(self, file: str) -> Diagnostic:
        """The fault as a finding in `file`."""
        position = Position(file, self.line, self.column)
        return Diagnostic(code=self.code, message=self.message, position=position, hint=self.hint)


class _Frame(msgspec.Struct):
    """An open mapping (`fields`) or list (`elements`); the size at its start tells later what an alias to it costs."""

    path: str
    anchor: str | None
    n_nodes: int
    n_characters: int
    fields: dict[str, Any] | None = None
    elements: list[Any] | None = None
    key: Any = _NO_KEY
    merged: dict[str, Any] = {}

    @property
    def value(self) -> Any:
        if self.fields is None:
            return self.elements
        return {**self.merged, **self.fields} if self.merged else self.fields


class _Anchor(msgspec.Struct, frozen=True):
    value: Any
    n_nodes: int
    n_characters: int


class Builder:
    """`take` every event; `documents` and `diagnostics` are what came of them."""

    def __init__(self, file: str) -> None:
        self.documents: list[Document] = []
        self.diagnostics: list[Diagnostic] = []
        self._file = file
        self._n_nodes = 0
        self._n_characters = 0
        self._begin()

    def _begin(self) -> None:
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchor] = {}
        self._positions: dict[str, tuple[int, int]] = {}
        self._root: Any = None
        self._is_valid = True

    def take(self, event: yaml.Event) -> None:
        """Move on by one event; `Fault` where the text cannot be read on."""
        match event:
            case yaml.ScalarEvent():
                self._charge(event, 1, len(event.value))
                self._place(event)
                self._put(event, self._scalar(event), event.anchor, 1, len(event.value))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._begin()
            case yaml.DocumentEndEvent():
                self._end()
            case _:
                pass

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._charge(event, 1, 0)
        if len(self._frames) >= MAX_DEPTH:
            raise self._fault(
                event, "too-deep", f"more than {MAX_DEPTH} levels", "no resource is nested that deep; simplify it"
            )
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            self._wrong(event, "invalid-tag", f"tag {shown(str(event.tag))} is not supported", "remove it")
        self._place(event)
        frame = _Frame(self._path(), event.anchor, self._n_nodes, self._n_characters)
        if is_mapping:
            frame.fields = {}
        else:
            frame.elements = []
        self._frames.append(frame)

    def _close(self, event: yaml.Event) -> None:
        frame = self._frames.pop()
        n_nodes, n_characters = self._n_nodes - frame.n_nodes + 1, self._n_characters - frame.n_characters
        self._put(event, frame.value, frame.anchor, n_nodes, n_characters)

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchor = self._anchors.get(event.anchor or "")
        if anchor is None:
            raise self._fault(
                event, "invalid-yaml", f"alias *{event.anchor} has no anchor before it", f"define it as &{event.anchor}"
            )
        self._charge(event, anchor.n_nodes, anchor.n_characters)
        self._place(event)
        self._put(event, anchor.value, None, anchor.n_nodes, anchor.n_characters)

    def _put(self, event: yaml.Event, value: Any, anchor: str | None, n_nodes: int, n_characters: int) -> None:
        """A finished value goes to where it belongs: to the key's place, the list's end, or the document's root."""
        if anchor is not None:
            self._anchors[anchor] = _Anchor(value, n_nodes, n_characters)
        if not self._frames:
            self._root = value
            return
        frame = self._frames[-1]
        if frame.elements is not None:
            frame.elements.append(value)
        elif frame.key is _NO_KEY:
            self._key(event, frame, value)
        else:
            self._field(event, frame, value)

    def _key(self, event: yaml.Event, frame: _Frame, value: Any) -> None:
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (int, float)):
            value = str(value)
        if not isinstance(value, str):
            self._wrong(event, "invalid-key", "a key must be text", "quote it")
            value = ""
        is_merge = value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        if not is_merge and frame.fields is not None and value in frame.fields:
            self._wrong(event, "duplicate-key", f"field {shown(value)} is there twice", _mend(frame.path, value))
        if not is_merge:
            self._positions[child(frame.path, value)] = _mark(event)
        frame.key = None if is_merge else value

    def _field(self, event: yaml.Event, frame: _Frame, value: Any) -> None:
        key, frame.key = frame.key, _NO_KEY
        assert frame.fields is not None
        if key is not None:
            frame.fields[key] = value
            return
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._wrong(event, "invalid-yaml", "<< takes a mapping, or a list of mappings", "write << : *name")
            return
        for source in sources:  # the first one that has a field wins
            frame.merged = {**source, **frame.merged}

    def _path(self) -> str:
        """The path of the value that comes next."""
        if not self._frames:
            return ""
        frame = self._frames[-1]
        if frame.elements is not None:
            return item(frame.path, len(frame.elements))
        return child(frame.path, frame.key) if isinstance(frame.key, str) else frame.path

    def _place(self, event: yaml.Event) -> None:
        """Elements and the root stand where they begin; fields stand where their key does, which `_key` wrote down."""
        if not self._frames or self._frames[-1].elements is not None:
            self._positions[self._path()] = _mark(event)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag.removeprefix(_TAG) if event.tag else None
        if tag in ("str", "!") or (tag is None and not event.implicit[0]):
            return event.value
        if tag not in (None, "int", "float", "bool", "null"):
            self._wrong(event, "invalid-tag", f"tag {shown(str(event.tag))} is not supported", "remove it")
            return None
        try:
            return plain_scalar(event.value)
        except OutOfRange:
            hint = "write a number that 64 bits hold, or quote it if it is text"
            self._wrong(event, "invalid-number", f"{shown(event.value)} is no number that can be used", hint)
            return None

    def _charge(self, event: yaml.Event, n_nodes: int, n_characters: int) -> None:
        self._n_nodes += n_nodes
        self._n_characters += n_characters
        if self._n_nodes > MAX_NODES or self._n_characters > MAX_CHARACTERS:
            hint = "split the file, and use aliases sparingly"
            raise self._fault(
                event, "too-large", "the documents hold too much, aliases counted as often as they are used", hint
            )

    def _end(self) -> None:
        if self._root is None and self._is_valid:
            return
        if self._is_valid and not isinstance(self._root, dict):
            position = Position(self._file, *self._positions.get("", (1, 1)))
            hint = "a resource begins with apiVersion: and kind:"
            message = "a document must be a mapping"
            self.diagnostics.append(Diagnostic(code="invalid-document", message=message, position=position, hint=hint))
            return
        if self._is_valid:
            self.documents.append(Document(self._root, self._file, self._positions))

    def _fault(self, event: yaml.Event, code: str, message: str, hint: str) -> Fault:
        return Fault(code, message, hint, *_mark(event))

    def _wrong(self, event: yaml.Event, code: str, message: str, hint: str) -> None:
        self._is_valid = False
        if len(self.diagnostics) >= MAX_DIAGNOSTICS:
            raise self._fault(event, "too-many-errors", "more is wrong than is shown", "mend the other errors first")
        self.diagnostics.append(self._fault(event, code, message, hint).diagnostic(self._file))


def _mend(path: str, key: str) -> str:
    """What to do about a field that is there twice; at the head of a document two of them have most likely run together."""
    is_head = not path and key in _HEAD
    return "put a line --- between two documents" if is_head else "keep one of them"


def _mark(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
