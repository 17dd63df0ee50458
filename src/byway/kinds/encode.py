"""Resource → YAML text, as `byway get -o yaml` prints it: what was written, in block style, and read back to the same
body.
"""

from __future__ import annotations

from typing import Any

import yaml

from byway.kinds.resource import Resource
from byway.kinds.scalar import LOOSE_BOOLEANS, OutOfRange, plain_scalar


class _Dumper(yaml.CSafeDumper):
    """Quotes each text that this or another reader would take for something else, and writes nothing by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written out where it stands."""
        return True


def _text(dumper: yaml.CSafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value and value.replace("\n", "").isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if _is_ambiguous(value) else style)


def _is_ambiguous(value: str) -> bool:
    try:
        return value in LOOSE_BOOLEANS or value == "<<" or not isinstance(plain_scalar(value), str) or value.isdecimal()
    except OutOfRange:
        return True


_Dumper.add_representer(str, _text)


def resource_yaml(resource: Resource) -> str:
    """The resource's document as YAML."""
    return body_yaml(resource.document.body)


def body_yaml(body: dict[str, Any]) -> str:
    """The body as YAML, fields in the order in which they were written."""
    text: str = yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
