"""What the package knows of Istio's API is what Istio's API is."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from byway.kinds.fields import istio
from byway.kinds.message import Message
from byway.kinds.registry import KINDS

REFERENCE = Path(__file__).parents[3].parent / "shared" / "reference" / "istio-api.json"
OWN = {"istio.mesh.v1alpha1.MeshConfig": {"defaultHttpTimeout", "discovery"}}
"""Byway's own additions to Istio's messages."""


def _messages(form: type[Message]) -> Iterator[type[Message]]:
    """The form and every message inside it."""
    yield form
    for hint in typing.get_type_hints(form).values():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and issubclass(part, Message):
                yield from _messages(part)


MESSAGES = sorted(
    {form for kind in KINDS for form in _messages(kind.spec) if form.MESSAGE}, key=lambda form: form.MESSAGE
)


def test_the_facts_are_those_of_the_reference() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"the reference is not here: {REFERENCE}")
    reference = json.loads(REFERENCE.read_text())
    enums = reference["enums"]
    messages = {
        message: {field["name"]: field["type"] if field.get("type") in enums else "" for field in fields}
        for message, fields in reference["messages"].items()
    }
    facts = istio()
    assert facts.kinds == reference["kinds"]
    assert facts.messages == messages
    assert {name: list(values) for name, values in facts.enums.items()} == enums


@pytest.mark.parametrize("form", MESSAGES, ids=lambda form: form.__name__)
def test_every_supported_field_exists_in_istio(form: type[Message]) -> None:
    known = set(istio().fields(form.MESSAGE))
    supported = {field.encode_name for field in msgspec.structs.fields(form)}
    assert known, f"Istio has no message {form.MESSAGE}"
    assert supported - known == OWN.get(form.MESSAGE, set())
    assert form.__name__ == form.MESSAGE.rpartition(".")[2]


@pytest.mark.parametrize("form", MESSAGES, ids=lambda form: form.__name__)
def test_every_supported_value_of_an_enum_exists_in_istio(form: type[Message]) -> None:
    fields = {field.name: field.encode_name for field in msgspec.structs.fields(form)}
    for attribute, hint in typing.get_type_hints(form).items():
        known = istio().enum_values(form.MESSAGE, fields.get(attribute, ""))
        if known:
            choices: tuple[Any, ...] = typing.get_args(hint)
            assert set(choices) - {""} <= set(known)


def test_each_constant_of_a_message_names_fields_that_exist() -> None:
    for form in MESSAGES:
        known = set(istio().fields(form.MESSAGE))
        assert {
            *form.REQUIRED,
            *form.NOT_EMPTY,
            *form.IGNORED,
            *(name for group in form.ONEOFS for name in group),
        } <= known
