"""Envoy's words lead to the field that they are about; where they do not, to the spec."""

from __future__ import annotations

import pytest

from byway.explain.fields import field_named
from byway.kinds.text import documents

TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec:
  hosts: [link-service]
  http:
  - match: [{uri: {regex: "("}}]
    timeout: 87600000h
    headers: {request: {set: {x-caller: "%PROTOCOL(x)% %PEER%"}}}
    route: [{destination: {host: link-service, subset: stable}}]
"""


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("missing ): (", "spec.http[0].match[0].uri.regex"),
        ("Invalid duration: Duration out-of-range: seconds: 315360000000", "spec.http[0].timeout"),
        ("PROTOCOL does not take any parameters or length", "spec.http[0].headers.request.set.x-caller"),
        ("Only unique values for domains are permitted. Duplicate entry of domain link-service", "spec.hosts[0]"),
        ("no such subset 'stable'", "spec.http[0].route[0].destination.subset"),
        ("the stable thing is not there", "spec.http[0].route[0].destination.subset"),
        ("something else is wrong", "spec"),
        ("", "spec"),
    ],
)
def test_the_field_is_found_by_what_is_repeated_of_it(reason: str, field: str) -> None:
    (document,) = documents(TEXT, "a.yaml").value
    assert field_named(document, reason) == field
