"""Resources made from typed specs, without YAML on the way: the document is what an operator would have written for them.

A test of the kit decodes such documents, and finds the same resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from byway.base.duration import Duration
from byway.kinds.document import Document
from byway.kinds.encode import resource_yaml
from byway.kinds.message import Message
from byway.kinds.packing import packed
from byway.kinds.registry import BY_NAME
from byway.kinds.resource import Resource, ResourceId


def written(
    kind: str, namespace: str, name: str, spec: Message, *, labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Resource:  # fmt: skip
    """The resource of this kind with `spec`; kinds of the whole mesh have the namespace ""."""
    api_version = BY_NAME[kind].api_version
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    for field, content in (("labels", labels), ("annotations", annotations)):
        if content:
            metadata[field] = dict(content)
    body: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    content = _plain(spec)
    if content:
        body["spec"] = content
    return Resource(
        id=ResourceId(kind, namespace, name),
        api_version=api_version,
        labels=dict(labels or {}),
        annotations=dict(annotations or {}),
        spec=spec,
        written=packed(Document(body)),
    )


def yaml_of(resources: Iterable[Resource]) -> str:
    """All of them in one text, as `byway apply -f` reads it."""
    return "".join(f"---\n{resource_yaml(resource)}" for resource in resources)


def _plain(value: Any) -> Any:
    """The JSON form of a value; of a message only the fields that say something."""
    if isinstance(value, Message):
        fields = ((key, getattr(value, name), default) for name, key, default in _fields(type(value)))
        return {key: _plain(content) for key, content, default in fields if content != default}
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {key: _plain(content) for key, content in value.items()}
    return value


@cache
def _fields(message: type[Message]) -> tuple[tuple[str, str, Any], ...]:
    """Each field of a message: its name here, its name in JSON, and the value that need not be written."""
    return tuple(
        (
            field.name,
            field.encode_name,
            field.default_factory() if callable(field.default_factory) else field.default,
        )
        for field in msgspec.structs.fields(message)
    )
