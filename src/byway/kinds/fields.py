"""What Istio knows: its kinds, the fields of each message, the values of each enum, as facts in `istio/fields.json`.

Byway supports some of them. The rest is needed to tell "not supported yet" from "no such thing". Read on first need.
"""

from __future__ import annotations

import functools
import pkgutil

import msgspec

from byway.base.json import decoded


class Facts(msgspec.Struct, frozen=True):
    """`kinds`: API group → kind → message; `messages`: message → field → its enum's name or ""; `enums`: enum →
    values.
    """

    kinds: dict[str, dict[str, str]]
    messages: dict[str, dict[str, str]]
    enums: dict[str, tuple[str, ...]]

    def fields(self, message: str) -> dict[str, str]:
        """The fields of the message; none where Istio has no such message."""
        return self.messages.get(message, {})

    def enum_values(self, message: str, field: str) -> tuple[str, ...]:
        """The values that Istio knows for the field."""
        return self.enums.get(self.fields(message).get(field, ""), ())


@functools.cache
def istio() -> Facts:
    """The facts, read once."""
    content = pkgutil.get_data("byway.kinds.istio", "fields.json")
    assert content is not None, "the package is installed without kinds/istio/fields.json"
    return decoded(content, Facts)
