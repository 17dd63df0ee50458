"""Document: one YAML document as written, with the place of every field, so that whoever finds fault later can still
say where.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from byway.base.diagnostics import Position
from byway.base.json import decoded
from byway.kinds.path import nearest

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of one file of documents, whoever reads it."""


class Document(msgspec.Struct, frozen=True):
    """`body` is JSON-able; `positions` maps paths (`spec.http[0].route`, the document itself is "") to (line,
    column), counted from 1.

    Nobody changes a body or its positions once the document is made.
    """

    body: dict[str, Any]
    file: str = ""
    positions: dict[str, tuple[int, int]] = {}

    def position(self, path: str) -> Position:
        """Where `path` stands, or the nearest thing above it that is known."""
        line, column = self.positions.get(nearest(path, self.positions), (1, 1))
        return Position(self.file, line, column)

    def without(self, field: str) -> Document:
        """The document without one of its top fields; the places of the others are as they were."""
        if field not in self.body:
            return self
        return msgspec.structs.replace(self, body={key: value for key, value in self.body.items() if key != field})


def document_json(document: Document) -> bytes:
    """The document as JSON, positions and all: what a store keeps."""
    return msgspec.json.encode(document)


def document_from_json(content: bytes) -> Document:
    """The document that `document_json` wrote; `msgspec.MsgspecError` where it did not."""
    return decoded(content, Document)
