"""What operators write: one module a kind, decoded strictly with positions.

Text → `documents` → `Document` → `decode` → `Resource`, and back with `resource_yaml`, `document_json`. Errors are
diagnostics, never exceptions.
"""

from byway.kinds.decode import decode, resource_id
from byway.kinds.document import Document, document_from_json, document_json
from byway.kinds.encode import resource_yaml
from byway.kinds.resource import Resource, ResourceId
from byway.kinds.text import documents

__all__ = [
    "Document",
    "Resource",
    "ResourceId",
    "decode",
    "document_from_json",
    "document_json",
    "documents",
    "resource_id",
    "resource_yaml",
]
