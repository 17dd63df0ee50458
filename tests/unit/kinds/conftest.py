"""YAML in, sentences out: what the tests of the kinds have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from byway.base.diagnostics import Diagnostic
from byway.kinds import Resource, decode, documents

HEADERS = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "Gateway": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "WorkloadEntry": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "Service": "v1",
    "MeshConfig": "byway.dev/v1alpha1",
}


class Reading:
    """Documents read from text, with everything that was found."""

    def one(self, text: str) -> tuple[Resource | None, tuple[Diagnostic, ...]]:
        """The resource that a text of one document holds."""
        read = documents(text, "f.yaml")
        if read.has_errors:
            return None, read.diagnostics
        derived = decode(read.value[0])
        return derived.value, derived.diagnostics

    def spec(self, kind: str, spec: str) -> Any:
        """The sound spec of `kind` that the (flow or block) text spells."""
        resource, found = self.one(self.text(kind, spec))
        assert resource is not None, [str(diagnostic) for diagnostic in found]
        assert not found, [str(diagnostic) for diagnostic in found]
        return resource.spec

    def faults(self, kind: str, spec: str) -> list[str]:
        """What is wrong with the spec, without places."""
        _, found = self.one(self.text(kind, spec))
        return [f"{diagnostic.message} ({diagnostic.hint})" for diagnostic in found]

    @staticmethod
    def text(kind: str, spec: str) -> str:
        lines = "\n".join("  " + line for line in spec.strip().splitlines())
        return f"apiVersion: {HEADERS[kind]}\nkind: {kind}\nmetadata:\n  name: x\nspec:\n{lines}\n"


@pytest.fixture
def reading() -> Reading:
    return Reading()


Faults = Callable[[str, str], list[str]]


@pytest.fixture
def faults(reading: Reading) -> Faults:
    return reading.faults
