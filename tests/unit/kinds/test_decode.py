"""A document's header and metadata decide what it is; nothing that is meant for a mesh is passed over in silence."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.base.diagnostics import Severity
from byway.kinds import Document, ResourceId, decode, documents, resource_id
from byway.kinds.registry import KINDS

GOOD = """\
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata:
  name: docs
  namespace: blue
  labels:
    app.kubernetes.io/name: docs
  annotations:
    example.com/note: |
      anything at all
  uid: 3f
  resourceVersion: "7"
spec:
  host: docs
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 5
status: {anything: true}
"""


def _found(text: str) -> list[str]:
    (document,) = documents(text, "f").value
    return [str(diagnostic) for diagnostic in decode(document).diagnostics]


def test_a_sound_document_becomes_a_resource() -> None:
    derived = decode(documents(GOOD, "f.yaml").value[0])
    resource = derived.value
    assert resource is not None
    assert derived.diagnostics == ()
    assert resource.id == ResourceId("DestinationRule", "blue", "docs")
    assert str(resource.id) == "DestinationRule blue/docs"
    assert resource.api_version == "networking.istio.io/v1beta1"
    assert resource.labels == {"app.kubernetes.io/name": "docs"}
    assert resource.annotations == {"example.com/note": "anything at all\n"}
    assert resource.spec.traffic_policy.connection_pool.tcp.max_connections == 5
    assert str(resource.position("spec.trafficPolicy.connectionPool")) == "f.yaml:16:5"
    assert str(resource.position("spec.trafficPolicy.tls.mode")) == "f.yaml:15:3"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_version_of_every_kind_is_read(kind: Any) -> None:
    for version in kind.versions:
        api_version = f"{kind.group}/{version}" if kind.group else version
        body = {"apiVersion": api_version, "kind": kind.name, "metadata": {"name": "x"}}
        document = Document(body)
        expected = ResourceId(kind.name, "" if kind.is_mesh_wide else "default", "x")
        assert resource_id(document) == expected
        found = decode(document).diagnostics
        assert {diagnostic.code for diagnostic in found} <= {"missing-field"}, "at most a required field is missing"


def test_a_namespace_that_is_not_written_is_the_callers() -> None:
    document = documents(GOOD.replace("  namespace: blue\n", ""), "f").value[0]
    derived = decode(document, "red")
    assert derived.value is not None
    assert derived.value.id.namespace == "red"
    assert resource_id(document, "red") == derived.value.id


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("apiVersion: apps/v1\nkind: Deployment", "f:2:1: kind: Deployment (apps/v1) is skipped: it is no kind of the mesh's"),
        ("apiVersion: v1\nkind: ConfigMap", "f:2:1: kind: ConfigMap (v1) is skipped: it is no kind of the mesh's"),
    ],
)  # fmt: skip
def test_kinds_of_others_are_skipped_with_a_note(header: str, expected: str) -> None:
    (document,) = documents(header + "\nmetadata:\n  name: x\n", "f").value
    derived = decode(document)
    assert derived.value is None
    assert [str(found) for found in derived.diagnostics] == [expected]
    assert derived.diagnostics[0].severity is Severity.INFO


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry",
            "f:2:1: kind: ServiceEntry (networking.istio.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter",
            "f:2:1: kind: EnvoyFilter (networking.istio.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry",
            "f:2:1: kind: Telemetry (telemetry.istio.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute",
            "f:2:1: kind: HTTPRoute (gateway.networking.k8s.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator",
            "f:2:1: kind: IstioOperator (install.istio.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: networking.istio.io/v1\nkind: VirtualServices",
            'f:2:1: kind: networking.istio.io/v1 has no kind "VirtualServices" (did you mean "VirtualService"?)',
        ),
        ("apiVersion: v1\nkind: service", 'f:2:1: kind: v1 has no kind "service" (did you mean "Service"?)'),
        (
            "apiVersion: network.istio.io/v1\nkind: VirtualService",
            "f:2:1: kind: VirtualService (network.istio.io) is not supported yet (remove this document, or keep it in a file of its own)",
        ),
        (
            "apiVersion: networking.istio/v1\nkind: VirtualService",
            'f:2:1: kind: VirtualService is no kind of "networking.istio/v1" (did you mean apiVersion: networking.istio.io/v1?)',
        ),
        (
            "apiVersion: networking.istio.io/v2\nkind: VirtualService",
            'f:1:1: apiVersion: VirtualService has no version "networking.istio.io/v2" (use one of networking.istio.io/v1, '
            "networking.istio.io/v1beta1, networking.istio.io/v1alpha3)",
        ),
        ("kind: VirtualService", "f:1:1: apiVersion is missing (write apiVersion: networking.istio.io/v1)"),
        ("apiVersion: v1", "f:1:1: kind is missing (add it)"),
        ("apiVersion: 1\nkind: [x]", 'f:1:1: apiVersion: expected text, got the number 1 (write a text)'),
        ("x: 1", "f:1:1: the document has no apiVersion and kind (every resource begins with apiVersion: and kind:)"),
        (
            "host: docs\nsubsets: []",
            "f:1:1: the document has no apiVersion and kind; its fields are those of a DestinationRule's spec (write apiVersion: "
            "networking.istio.io/v1, kind: DestinationRule and metadata: with a name, and put these fields under spec:)",
        ),
    ],
)  # fmt: skip
def test_what_is_meant_for_a_mesh_and_not_known_is_an_error(header: str, expected: str) -> None:
    assert _found(header + "\n")[0] == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("metadata:", "f:3:1: metadata is missing (add metadata: with a name: in it)"),
        ("metadata: [x]", "f:3:1: metadata: expected a mapping, got a list (write name: value pairs)"),
        ("metadata: {}", "f:3:1: metadata.name is missing (add it)"),
        ("metadata: {name: 5}", 'f:3:12: metadata.name: expected text, got the number 5 (put it in quotes: "5")'),
        (
            "metadata: {name: a.b}",
            'f:3:12: metadata.name: "a.b" is no valid name (use lower-case letters, digits and hyphens, with a letter or digit at both ends)',
        ),
        ("metadata: {name: " + "a" * 64 + "}", f'f:3:12: metadata.name: "{"a" * 64}" is longer than 63 characters (shorten it)'),
        (
            "metadata: {name: a, namespace: B}",
            'f:3:21: metadata.namespace: "B" is no valid name (use lower-case letters, digits and hyphens, with a letter or digit at both ends)',
        ),
        (
            "metadata: {generateName: a-}",
            "f:3:12: metadata.generateName is not supported (write name:, so that applying twice changes nothing)",
        ),
        (
            "metadata: {name: a, labels: {version: 1}}",
            'f:3:30: metadata.labels.version: expected text, got the number 1 (put it in quotes: "1")',
        ),
        (
            "metadata: {name: a, labels: {-x: y}}",
            'f:3:30: metadata.labels["-x"]: "-x" is no valid label key (use letters, digits, - _ . and at most 63 characters)',
        ),
        (
            "metadata: {name: a, annotations: {x: true}}",
            'f:3:35: metadata.annotations.x: expected text, got true (put it in quotes: "true")',
        ),
        (
            "metadata: {name: a, app: b}",
            'f:3:21: metadata.app is no field of metadata (did you mean an annotation or a label? Put "app" under annotations: or labels:)',
        ),
    ],
)  # fmt: skip
def test_metadata_is_judged_field_by_field(metadata: str, expected: str) -> None:
    assert _found(f"apiVersion: v1\nkind: Service\n{metadata}\n") == [expected]


def test_a_field_that_slipped_out_of_the_spec_is_not_lost() -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nhost: docs\nspek: 1\n"
    assert _found(text) == [
        "f:1:1: spec.host is missing (add it)",
        "f:4:1: host is no field of a DestinationRule document (put it under spec:)",
        'f:5:1: spek is no field of a DestinationRule document (did you mean "spec"?)',
    ]


def test_a_service_account_of_kubernetes_is_taken_with_all_that_it_carries() -> None:
    text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a.b}\nsecrets: [{name: x}]\nautomountServiceAccountToken: false\n"
    assert _found(text) == []


def test_all_errors_are_found_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("maxConnections: 5", "maxConnections: -5\n        connectTimeout: 5").replace(
        "host: docs", "hots: docs"
    )
    assert _found(text) == [
        'f:14:3: spec.hots is no field of DestinationRule (did you mean "host"?)',
        "f:18:9: spec.trafficPolicy.connectionPool.tcp.maxConnections: -5 is out of range (use 0 to 2147483647)",
        "f:19:9: spec.trafficPolicy.connectionPool.tcp.connectTimeout: expected a duration, got the number 5 "
        '(write "5s" if seconds are meant)',
    ]


def test_errors_without_end_are_not_all_looked_for() -> None:
    lines = "".join(f"  field{number}: 1\n" for number in range(20_000))
    began = time.perf_counter()
    found = _found(f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec:\n{lines}")
    assert len(found) == 101
    assert "f:4:1: spec: more was found than is shown (mend the other errors first)" in found
    assert time.perf_counter() - began < 5


def test_findings_name_their_resource() -> None:
    (document,) = documents(GOOD.replace("host: docs", "host: Docs"), "f").value
    assert [found.subject for found in decode(document).diagnostics] == ["DestinationRule blue/docs"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.sampled_from(["spec", "host", "http"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(KINDS), _json, _json)
def test_any_body_is_read_or_refused_but_never_an_exception(kind: Any, metadata: Any, spec: Any) -> None:
    derived = decode(Document({"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}))
    assert (derived.value is None) == derived.has_errors


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "x"]), _json))
def test_any_header_is_read_or_refused_but_never_an_exception(body: dict[str, Any]) -> None:
    decode(Document(body))
    resource_id(Document(body))
