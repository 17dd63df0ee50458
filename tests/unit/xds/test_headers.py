"""Which headers a route may write, and what becomes of the authority."""

from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import VirtualHost

from byway.derive.routes import virtual_host
from byway.kinds.header import MESH_HEADERS
from byway.model.listener import View
from byway.testing.mesh import TestMesh, service
from byway.xds import routes
from byway.xds.telemetry import SOURCE_HEADER


def built(headers: str, *, at_destination: bool = False) -> VirtualHost:
    mesh = TestMesh()
    mesh.apply(service("docs"))
    destination = "{destination: {host: docs}" + (f", headers: {headers}" if at_destination else "") + "}"
    mesh.apply(f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: docs}}
spec: {{hosts: [docs], http: [{{route: [{destination}]{"" if at_destination else f", headers: {headers}"}}}]}}
""")
    found = virtual_host(mesh.database, View("default"), "docs:8080")
    assert found is not None
    return routes.virtual_host(found)


def test_the_header_that_names_the_caller_is_among_those_that_no_route_may_write() -> None:
    assert SOURCE_HEADER in MESH_HEADERS


@pytest.mark.parametrize("operation", ["set", "add"])
@pytest.mark.parametrize("name", [":authority", "Host"])
def test_the_authority_is_rewritten_and_no_header_of_its_name_is_added(operation: str, name: str) -> None:
    headers = f"{{request: {{{operation}: {{'{name}': docs.example, x-a: b}}}}}}"
    (route,) = built(headers).routes
    assert route.route.host_rewrite_literal == "docs.example"
    assert [option.header.key for option in route.request_headers_to_add] == ["x-a"]


def test_what_is_set_wins_over_what_is_added() -> None:
    (route,) = built("{request: {add: {host: a}, set: {host: b}}}").routes
    assert route.route.host_rewrite_literal == "b"


def test_a_destination_rewrites_the_authority_for_itself() -> None:
    (route,) = built("{request: {set: {host: docs.example}}}", at_destination=True).routes
    (share,) = route.route.weighted_clusters.clusters
    assert share.host_rewrite_literal == "docs.example"
    assert not route.route.host_rewrite_literal
